package parse

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// A manifest is plain: no anchors, aliases, merge keys or tags. What is written is what is meant, for
// every reader of YAML, and no document is larger than it looks.
var unplain = []struct{ what, fix string }{
	{"YAML aliases (*name)", "write the value out; text that begins with * needs quotes"},
	{"YAML anchors (&name)", "write the value out where it is used; text that begins with & needs quotes"},
	{"YAML merge keys (<<)", "write the keys out"},
	{"YAML tags (!name)", "remove the tag; text that begins with ! needs quotes"},
}

const mergeTag = "!!merge"

// unplainKind is the index in unplain of what a node is, or -1.
func unplainKind(n *yaml.Node) int {
	switch {
	case n.Kind == yaml.AliasNode:
		return 0
	case n.Anchor != "":
		return 1
	case n.Tag == mergeTag:
		return 2
	case n.Style&yaml.TaggedStyle != 0:
		return 3
	}
	return -1
}

func isUnplain(n *yaml.Node) bool { return unplainKind(n) >= 0 }

// refuseUnplain reports each of them where it comes first, with how often it comes.
func (d *Document) refuseUnplain() {
	first := make([]*yaml.Node, len(unplain))
	count := make([]int, len(unplain))
	var visit func(*yaml.Node)
	visit = func(n *yaml.Node) {
		if kind := unplainKind(n); kind >= 0 {
			if count[kind]++; first[kind] == nil {
				first[kind] = n
			}
		}
		for _, child := range n.Content {
			visit(child)
		}
	}
	visit(d.root)
	for kind, n := range first {
		if n == nil {
			continue
		}
		reason := unplain[kind].what + " are not allowed"
		if count[kind] > 1 {
			reason += fmt.Sprintf(" (there are %d)", count[kind])
		}
		d.reportAt(positionOf(n), WholeDocument, reason, unplain[kind].fix)
	}
}
