package edit

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// Between returns the changes that make one value of a field another: one for each field in it that differs, so that everything else
// keeps its bytes. from is the field's value in a bottle. What the bottle has beyond its file, like defaults and absolute paths, is then
// only written where to differs.
//
// Elements of lists are matched by their path or name, as routes and services are, and others as a whole. Where the order of elements
// that stay changes, or new ones are not at the end, the list is set as a whole.
func Between(field string, from, to any) ([]Change, error) {
	a, err := valueNode(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	b, err := valueNode(to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return between(field, a, b)
}

func between(field string, from, to *node) ([]Change, error) {
	switch {
	case same(from, to):
		return nil, nil
	case isMap(from) && isMap(to):
		return betweenMappings(field, from, to)
	case isList(from) && isList(to):
		if matched, added, ok := match(from, to); ok {
			return betweenLists(field, from, to, matched, added)
		}
	}
	value, err := valueOf(to)
	return []Change{Set(field, value)}, err
}

func betweenMappings(field string, from, to *node) (all []Change, err error) {
	for at := 0; at+1 < len(from.Content); at += 2 {
		key := from.Content[at].Value
		in := keyIndex(to, key)
		if in < 0 {
			all = append(all, Remove(scalar.FieldOf(field, key)))
			continue
		}
		changes, err := between(scalar.FieldOf(field, key), from.Content[at+1], to.Content[in+1])
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
	}
	for at := 0; at+1 < len(to.Content); at += 2 {
		if key := to.Content[at].Value; keyIndex(from, key) < 0 {
			value, err := valueOf(to.Content[at+1])
			if err != nil {
				return nil, err
			}
			all = append(all, Set(scalar.FieldOf(field, key), value))
		}
	}
	return all, nil
}

// match matches the elements of two lists: matched has, for each of from, the index in to, or -1. Those of to from the index added on are
// new. It is false if the order differs.
func match(from, to *node) (matched []int, added int, ok bool) {
	for _, element := range from.Content {
		if added < len(to.Content) && identity(element) == identity(to.Content[added]) {
			matched = append(matched, added)
			added++
			continue
		}
		matched = append(matched, -1)
	}
	for _, element := range to.Content[added:] {
		for _, before := range from.Content {
			if identity(element) == identity(before) {
				return nil, 0, false
			}
		}
	}
	return matched, added, true
}

// identity distinguishes the elements of a list.
func identity(n *node) string {
	for _, key := range []string{"path", "name"} {
		if at := keyIndex(n, key); isMap(n) && at >= 0 {
			return key + "\x00" + n.Content[at+1].Value
		}
	}
	value, err := valueOf(n)
	if err != nil {
		return n.Value
	}
	return fmt.Sprintf("%T\x00%v", value, value)
}

// betweenLists changes what stays, removes from the end, and adds.
func betweenLists(field string, from, to *node, matched []int, added int) (all []Change, err error) {
	var removed []Change
	for n, in := range matched {
		element := parse.ElementOf(field, n)
		if in < 0 {
			removed = append([]Change{Remove(element)}, removed...)
			continue
		}
		changes, err := between(element, from.Content[n], to.Content[in])
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
	}
	for _, element := range to.Content[added:] {
		value, err := valueOf(element)
		if err != nil {
			return nil, err
		}
		all = append(all, Append(field, value))
	}
	return append(all, removed...), nil
}
