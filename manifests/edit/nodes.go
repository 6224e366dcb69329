package edit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/parse"
)

// node is the parser's node.
type node = yaml.Node

// child returns the node behind a step; nil when there is none.
func child(n *node, s step) *node {
	switch {
	case s.key == "" && n.Kind == yaml.SequenceNode && s.index < len(n.Content):
		return n.Content[s.index]
	case s.key != "" && n.Kind == yaml.MappingNode:
		if at := keyIndex(n, s.key); at >= 0 {
			return n.Content[at+1]
		}
	}
	return nil
}

// keyIndex is the index of a text as a key in a mapping's content; -1 when it is missing.
func keyIndex(mapping *node, key string) int {
	for at := 0; at+1 < len(mapping.Content); at += 2 {
		if k := mapping.Content[at]; k.Kind == yaml.ScalarNode && k.Value == key && typeOf(k) == "!!str" {
			return at
		}
	}
	return -1
}

// descend follows steps as far as they lead, and returns what is left of them.
func descend(n *node, steps []step) (*node, []step) {
	for len(steps) > 0 {
		next := child(n, steps[0])
		if next == nil {
			break
		}
		n, steps = next, steps[1:]
	}
	return n, steps
}

// valueNode returns the node of a change's value.
func valueNode(v any) (*node, error) {
	n, err := parse.NodeOf(v)
	if err == nil && hasNull(n) {
		err = errors.New("the value has a null, which no manifest has")
	}
	return n, err
}

func hasNull(n *node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" || slices.ContainsFunc(n.Content, hasNull)
}

func isList(n *node) bool { return n.Kind == yaml.SequenceNode }

func isNull(n *node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// wrap puts a value into new mappings, one for each step.
func wrap(steps []step, value *node) (*node, error) {
	for _, s := range slices.Backward(steps) {
		if s.key == "" {
			return nil, fmt.Errorf("there is no %s", s)
		}
		key := &node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s.key, Style: yaml.DoubleQuotedStyle}
		value = &node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*node{key, value}}
	}
	return value, nil
}

func listOf(element *node) *node {
	return &node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*node{element}}
}

func clone(n *node) *node {
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, clone(child))
	}
	return &c
}

// identical reports whether two documents, or parts of them, are the same to every reader: in keys, their order, values and types.
func identical(a, b *node) bool {
	return a.Kind == b.Kind && typeOf(a) == typeOf(b) && a.Value == b.Value && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, identical)
}

// same is identical, but for the order of keys.
func same(a, b *node) bool {
	if a.Kind != yaml.MappingNode || b.Kind != yaml.MappingNode {
		return a.Kind == b.Kind && typeOf(a) == typeOf(b) && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, same)
	}
	for at := 0; at+1 < len(a.Content); at += 2 {
		if in := keyIndex(b, a.Content[at].Value); in < 0 || !same(a.Content[at+1], b.Content[in+1]) {
			return false
		}
	}
	return len(a.Content) == len(b.Content)
}

// typeOf is a node's type. A plain date is a text, as all fields that could hold one are.
func typeOf(n *node) string {
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || tag != "!!timestamp" {
		return tag
	}
	return "!!str"
}

// changed returns what a document is to be after a change. It is independent of how the text is changed.
func changed(root *node, op Op, steps []step, value *node) (*node, error) {
	root = clone(root)
	parent, rest := descend(root, steps[:len(steps)-1])
	last := steps[len(steps)-1]
	if op == OpRemove {
		if len(rest) > 0 || child(parent, last) == nil {
			return nil, errors.New("there is no such field")
		}
		at, size := last.index, 1
		if last.key != "" {
			at, size = keyIndex(parent, last.key), 2
		}
		parent.Content = slices.Delete(parent.Content, at, at+size)
		return root, nil
	}
	node, rest := descend(root, steps)
	switch {
	case op == OpAppend && len(rest) == 0 && node.Kind == yaml.SequenceNode:
		node.Content = append(node.Content, value)
		return root, nil
	case op == OpAppend && len(rest) == 0 && !isNull(node):
		return nil, errors.New("it is not a list")
	case op == OpAppend:
		value = listOf(value)
	}
	return root, put(node, rest, value)
}

// put makes a value of a node, or of a field below it that is missing.
func put(n *node, missing []step, value *node) error {
	switch {
	case len(missing) == 0:
		*n = *value
		return nil
	case n.Kind != yaml.MappingNode && !isNull(n):
		return fmt.Errorf("there is no place for the %s", missing[0])
	}
	wrapped, err := wrap(missing, value)
	if err != nil {
		return err
	}
	if isNull(n) {
		*n = *wrapped
	} else {
		n.Content = append(n.Content, wrapped.Content...)
	}
	return nil
}

func isMap(n *node) bool { return n.Kind == yaml.MappingNode }

// valueOf returns the JSON value of a node, which keeps the order of its keys.
func valueOf(n *node) (any, error) {
	text, err := style{json: true, comma: ",", colon: ":"}.flow(n)
	return json.RawMessage(text), err
}
