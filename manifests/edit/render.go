package edit

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/parse"
)

// style is how a value is written, as its neighbours are.
type style struct {
	json   bool   // every text is in double quotes
	quote  byte   // of texts: '"', '\'', or 0 for no quotes where they are not needed
	keys   byte   // the same of keys
	comma  string // between the entries of a flow collection: ", "
	colon  string // behind the keys of a flow mapping: ": "
	indent int    // of a mapping in a mapping
	dashes int    // of a list in a mapping
	dash   string // "- "
}

// scalar writes a scalar on one line.
func (s style) scalar(n *node, quote byte) (string, error) {
	switch {
	case typeOf(n) != "!!str":
		return n.Value, nil
	case quote == 0 && !s.json && parse.IsPlainText(n.Value):
		return n.Value, nil
	case quote == '\'' && isSingleQuotable(n.Value):
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'", nil
	}
	return parse.DoubleQuoted(n.Value)
}

// isSingleQuotable reports whether a text needs no escapes.
func isSingleQuotable(text string) bool {
	quoted, err := parse.DoubleQuoted(text)
	return err == nil && !strings.Contains(strings.ReplaceAll(quoted, `\"`, ""), `\`)
}

// flow writes a value on one line.
func (s style) flow(n *node) (string, error) {
	switch n.Kind {
	case yaml.SequenceNode:
		var elements []string
		for _, child := range n.Content {
			text, err := s.flow(child)
			if err != nil {
				return "", err
			}
			elements = append(elements, text)
		}
		return "[" + strings.Join(elements, s.comma) + "]", nil
	case yaml.MappingNode:
		var entries []string
		for at := 0; at+1 < len(n.Content); at += 2 {
			text, err := s.flowEntry(n.Content[at], n.Content[at+1])
			if err != nil {
				return "", err
			}
			entries = append(entries, text)
		}
		return "{" + strings.Join(entries, s.comma) + "}", nil
	default:
		return s.scalar(n, s.quote)
	}
}

// flowEntry writes an entry of a flow collection; key is nil in a list.
func (s style) flowEntry(key, value *node) (string, error) {
	text, err := s.flow(value)
	if err != nil || key == nil {
		return text, err
	}
	name, err := s.scalar(key, s.keys)
	return name + s.colon + text, err
}

// block writes a collection with an entry a line. So are the collections in it to a depth of open, and deeper ones that are long.
func (s style) block(n *node, open int) (lines []string, err error) {
	each := 1
	if n.Kind == yaml.MappingNode {
		each = 2
	}
	for at := 0; at < len(n.Content); at += each {
		var key *node
		if each == 2 {
			key = n.Content[at]
		}
		entry, err := s.blockEntry(key, n.Content[at+each-1], open-1)
		if err != nil {
			return nil, err
		}
		lines = append(lines, entry...)
	}
	return lines, nil
}

// blockEntry writes an entry of a block collection; key is nil in a list.
func (s style) blockEntry(key, value *node, open int) ([]string, error) {
	lead := s.dash
	if key != nil {
		name, err := s.scalar(key, s.keys)
		if err != nil {
			return nil, err
		}
		lead = name + ": "
	}
	if open <= 0 && s.isShort(value) || len(value.Content) == 0 {
		text, err := s.flow(value)
		return []string{lead + text}, err
	}
	lines, err := s.block(value, open)
	if err != nil {
		return nil, err
	}
	if key == nil {
		lines[0] = lead + lines[0]
		return append(lines[:1], indented(lines[1:], len(lead))...), nil
	}
	return append([]string{strings.TrimSpace(lead)}, indented(lines, s.below(value))...), nil
}

// below is how far a value is indented below its key.
func (s style) below(value *node) int {
	if value.Kind == yaml.SequenceNode {
		return s.dashes
	}
	return s.indent
}

func indented(lines []string, by int) []string {
	var all []string
	for _, line := range lines {
		all = append(all, strings.Repeat(" ", by)+line)
	}
	return all
}

// Larger collections are written with an entry a line.
const (
	maxFlowWidth = 60
	maxFlowKeys  = 2
)

// isShort reports whether people would write a value on one line.
func (s style) isShort(n *node) bool {
	if n.Kind == yaml.MappingNode && len(n.Content) > 2*maxFlowKeys {
		return false
	}
	text, err := s.flow(n)
	return n.Kind == yaml.ScalarNode || err == nil && len(text) <= maxFlowWidth
}

// styleOf finds out how a document is written.
func styleOf(root *item, text string, json bool) style {
	s := style{json: json, comma: ", ", colon: ": ", indent: 2, dashes: 2, dash: "- "}
	var mappings, lists, pairs bool
	var visit func(i *item)
	visit = func(i *item) {
		for n, e := range i.entries {
			switch below := e.key != nil && e.value.isBlock(); {
			case below && !lists && e.value.node.Kind == yaml.SequenceNode:
				s.dashes, lists = column(text, e.value.start)-column(text, e.first), true
			case below && !mappings && e.value.node.Kind == yaml.MappingNode:
				s.indent, mappings = column(text, e.value.start)-column(text, e.first), true
			}
			if json && n > 0 && !pairs {
				s.comma, s.colon, pairs = jsonGaps(i, n, text)
			}
			visit(e.value)
		}
	}
	visit(root)
	return s
}

// jsonGaps returns what is between entries and behind colons, as far as they are on one line.
func jsonGaps(i *item, n int, text string) (comma, colon string, found bool) {
	e := i.entries[n]
	if e.mark < 0 {
		return ", ", ": ", false
	}
	comma, colon = text[i.entries[n-1].value.end:e.first], text[e.mark:e.value.start]
	if strings.TrimRight(comma, " ") != "," {
		comma = ", "
	}
	if strings.TrimRight(colon, " ") != ":" {
		colon = ": "
	}
	return comma, colon, true
}

// like returns the style for a new entry of a collection.
func (s style) like(i *item, text string) style {
	s.quote, s.keys = commonQuote(i, false), commonQuote(i, true)
	if i.isBlock() && i.node.Kind == yaml.SequenceNode {
		e := i.entries[len(i.entries)-1]
		if gap := text[e.mark:e.value.start]; strings.TrimSpace(gap) == "-" && len(gap) > 1 && !strings.ContainsAny(gap, "\t\r\n") {
			s.dash = gap
		}
	}
	return s
}

// commonQuote is the quote of all keys, or of all texts, in a collection; 0 if some have none.
func commonQuote(i *item, keys bool) byte {
	var quote byte
	for n, e := range i.entries {
		of := e.value
		if keys {
			of = e.key
		}
		switch {
		case of == nil || of.node.Kind != yaml.ScalarNode || typeOf(of.node) != "!!str":
			continue
		case quoteOf(of.node) == 0, n > 0 && quote != 0 && quote != quoteOf(of.node):
			return 0
		}
		quote = quoteOf(of.node)
	}
	return quote
}

func quoteOf(n *node) byte {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return '"'
	case n.Style&yaml.SingleQuotedStyle != 0:
		return '\''
	}
	return 0
}
