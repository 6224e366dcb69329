package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// corpus is every valid manifest of the other tests, and every file of these ones.
func corpus(t testing.TB) []string {
	t.Helper()
	var all []string
	for pattern, least := range map[string]int{"../testdata/good/*": 15, "../testdata/legacy/*.md": 4, "testdata/*": 15} {
		files, err := filepath.Glob(pattern)
		files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, ".golden") })
		if err != nil || len(files) < least {
			t.Fatal(pattern, files, err)
		}
		all = append(all, files...)
	}
	return all
}

// field is a place in a document.
type field struct {
	path string
	node *node
}

// fieldsOf lists everything in a document, by its path.
func fieldsOf(path string, n *node) []field {
	all := []field{{path, n}}
	for at, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			all = append(all, fieldsOf(parse.ElementOf(path, at), c)...)
		case at%2 == 1:
			all = append(all, fieldsOf(scalar.FieldOf(path, n.Content[at-1].Value), c)...)
		}
	}
	return all
}

// values are what is written everywhere.
var values = []any{
	"new.example.com", "*.example.com", "yes", "12", "", "- it's: \"quoted\", # no comment", "tab\tand\nlines\n", "\u00fc \u2028 \U0001f600",
	true, 42,
	[]string{},
	map[string]any{},
	[]string{"a", "*b"},
	map[string]string{"host": "x.example.com", "until": "2026-11-27T18:00:00Z"},
	[]any{map[string]any{"a key": []string{"x"}, "b": map[string]any{"c": "d"}, "long": strings.Repeat("long ", 20)}},
}

// changesOf lists every kind of change at a place.
func changesOf(f field) []Change {
	var all []Change
	for _, v := range values {
		if f.path != "" {
			all = append(all, Set(f.path, v))
		}
		switch {
		case f.node.Kind == yaml.SequenceNode || isNull(f.node):
			all = append(all, Append(f.path, v))
		case f.node.Kind == yaml.MappingNode:
			all = append(all, Set(scalar.FieldOf(f.path, "newKey"), v), Set(scalar.FieldOf(f.path, "new-key")+".below", v), Append(scalar.FieldOf(f.path, "newList"), v))
		}
	}
	if f.path != "" {
		all = append(all, Remove(f.path))
	}
	return all
}

// TestEveryChangeEverywhere makes changes to every field of every document of the corpus: each time every tenth one, so that all are made
// in many places.
func TestEveryChangeEverywhere(t *testing.T) {
	made := 0
	for _, path := range corpus(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range namesIn(t, path, content) {
			m, err := open(path, content, name)
			if err != nil {
				t.Fatal(err)
			}
			before := readAll(t, m.text)
			for n, f := range fieldsOf("", m.document().Root()) {
				for k, c := range changesOf(f) {
					if (n+k)%10 != 0 || isLastField(m, c) {
						continue
					}
					made++
					if err := checkChange(t, m, before, c); err != nil {
						t.Errorf("%s: %s: %v", path, c, err)
					}
				}
			}
		}
	}
	if made < 2500 {
		t.Errorf("only %d changes were made", made)
	}
}

// isLastField reports whether nothing would be left of a document.
func isLastField(m *manifest, c Change) bool {
	root := m.document().Root()
	return c.Op == OpRemove && len(root.Content) == 2 && c.Field == root.Content[0].Value
}

// namesIn returns the bottles that a file declares.
func namesIn(t testing.TB, path string, content []byte) []string {
	t.Helper()
	if v1alpha1.IsMarkdown(path) {
		return []string{strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}
	}
	var names []string
	documents, _ := parse.Documents(parse.Location{Path: path}, bytes.TrimPrefix(content, []byte("\ufeff")))
	for _, d := range documents {
		if d.Decode(); d.Declares && d.Slug != "" {
			names = append(names, d.Slug)
		}
	}
	return names
}

// checkChange makes a change, without judging its values, and checks with another reader that nothing else changed.
func checkChange(t testing.TB, m *manifest, before []any, c Change) error {
	t.Helper()
	steps, err := stepsOf(c.Field)
	if err != nil {
		return err
	}
	var value *node
	if c.Op != OpRemove {
		if value, err = valueNode(c.Value); err != nil {
			return err
		}
	}
	after, err := m.change(c.Op, steps, value)
	if err != nil {
		return err
	}
	want, got := slices.Clone(before), readAll(t, after.text)
	if want[m.index], err = expected(want[m.index], c.Op, steps, plainValue(value)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %s: it has\n%v, want\n%v\n%s", m.path, c, got, want, Diff(m.path, []byte(m.text), []byte(after.text)))
	}
	checkBytes(t, m, after, c, steps)
	return nil
}

// checkBytes checks that nothing but the place of a change was touched, and that removing what was appended restores the text.
func checkBytes(t testing.TB, before, after *manifest, c Change, steps []step) {
	t.Helper()
	if c.Op == OpRemove {
		return
	}
	list, rest := descend(before.document().Root(), steps)
	diff := Diff(before.path, []byte(before.text), []byte(after.text))
	adds := (c.Op == OpAppend || len(rest) > 0) && len(list.Content) > 0 // to what has something already
	if removed := strings.Count(diff, "\n-") - 1; adds && removed > 2 {
		t.Errorf("%s: %s: %d lines changed:\n%s", before.path, c, removed, diff)
	}
	if c.Op != OpAppend || len(rest) > 0 || len(list.Content) == 0 {
		return
	}
	back, err := after.change(OpRemove, append(slices.Clone(steps), step{index: len(list.Content)}), nil)
	if err != nil || back.text != before.text {
		t.Errorf("%s: %s: removed again: %v\n%s", before.path, c, err, Diff(before.path, []byte(before.text), []byte(back.text)))
	}
}

// readAll decodes all documents but empty ones into plain values.
func readAll(t testing.TB, text string) []any {
	t.Helper()
	var all []any
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n node
		if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(n.Content) > 0 && !isUnwritten(n.Content[0]) {
			all = append(all, plainValue(n.Content[0]))
		}
	}
}

// plainValue is a node without its form.
func plainValue(n *node) any {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for at := 0; at+1 < len(n.Content); at += 2 {
			m[fmt.Sprint(plainValue(n.Content[at]))] = plainValue(n.Content[at+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, plainValue(c))
		}
		return l
	}
	return typeOf(n) + " " + n.Value
}

// expected is what a plain value is to be after a change.
func expected(v any, op Op, steps []step, value any) (any, error) {
	if len(steps) == 0 {
		if list, is := v.([]any); is && op == OpAppend {
			return append(slices.Clone(list), value), nil
		}
		if op == OpAppend {
			return []any{value}, nil
		}
		return value, nil
	}
	s, rest := steps[0], steps[1:]
	if list, is := v.([]any); is {
		list = slices.Clone(list)
		if op == OpRemove && len(rest) == 0 {
			return slices.Delete(list, s.index, s.index+1), nil
		}
		below, err := expected(list[s.index], op, rest, value)
		list[s.index] = below
		return list, err
	}
	mapping, is := v.(map[string]any)
	if !is && v != "!!null " && v != "!!null null" && v != "!!null ~" && v != nil {
		return nil, fmt.Errorf("%v is no mapping", v)
	}
	all := map[string]any{}
	for key, below := range mapping {
		all[key] = below
	}
	key := "!!str " + s.key
	if op == OpRemove && len(rest) == 0 {
		delete(all, key)
		return all, nil
	}
	below, err := expected(all[key], op, rest, value)
	all[key] = below
	return all, err
}

// hasTwice reports whether a key is given twice.
func hasTwice(n *node) bool {
	seen := map[string]bool{}
	for at, c := range n.Content {
		isKey, key := n.Kind == yaml.MappingNode && at%2 == 0, fmt.Sprint(plainValue(c))
		if isKey && seen[key] || hasTwice(c) {
			return true
		}
		seen[key] = seen[key] || isKey
	}
	return false
}

// FuzzChange makes changes to any text.
func FuzzChange(f *testing.F) {
	for _, path := range corpus(f) {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for n := range 3 {
			f.Add(content, v1alpha1.IsMarkdown(path), uint(7*n), uint(11*n))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, markdown bool, place, kind uint) {
		path := "dev.yaml"
		if markdown {
			path = "dev.md"
		}
		for _, name := range namesIn(t, path, content) {
			m, err := open(path, content, name)
			if err != nil {
				continue
			}
			fields := fieldsOf("", m.document().Root())
			if hasTwice(m.document().Root()) {
				continue // the other reader takes the last one
			}
			all := changesOf(fields[place%uint(len(fields))])
			if len(all) > 0 {
				_ = checkChange(t, m, readAll(t, m.text), all[kind%uint(len(all))]) // which may be refused
			}
		}
	})
}
