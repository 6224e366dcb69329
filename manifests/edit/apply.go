package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// manifest is a file of manifests, and one bottle in it.
type manifest struct {
	path                 string
	before, text, behind string // the YAML, and what is around it: a byte order mark, what is around front matter
	lead                 int    // bytes at the beginning of text that stand for lines of before
	documents            []*parse.Document
	index                int // of the bottle's document
}

// with is the content of the file with another text.
func (m *manifest) with(text string) string { return m.before + text[m.lead:] + m.behind }

func (m *manifest) document() *parse.Document { return m.documents[m.index] }

// Apply returns the content of a file with changes of one bottle in it. path says what format the file has, and is shown in messages;
// nothing is read. Later changes see what earlier ones did.
//
// It fails with ErrUneditable when a change is not possible, or can't be made without touching anything else, and with ErrInvalid when
// the manifest would not be valid by itself with it. Rules between manifests are not checked.
func Apply(path string, content []byte, bottle string, changes ...Change) ([]byte, error) {
	m, err := open(path, content, bottle)
	if err != nil {
		return nil, uneditable(path, err)
	}
	text := string(content)
	for _, c := range changes {
		if m, err = m.apply(c); err != nil {
			return nil, uneditable(path, fmt.Errorf("%s: %w", c, err))
		}
		text = m.with(m.text)
	}
	rules.Check(m.document())
	if problems := m.document().Problems(); len(problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, problems[0])
	}
	if len(text) > parse.MaxFileSize {
		return nil, fmt.Errorf("%w: %s would be larger than %d KiB; split it into smaller files, one bottle each", ErrInvalid, path, parse.MaxFileSize>>10)
	}
	return []byte(text), nil
}

func uneditable(path string, err error) error {
	return fmt.Errorf("%s: %w: %w; change it by hand", path, ErrUneditable, err)
}

// Satisfied reports whether a change is already in a file: the list has the element, the field has the value, or is gone. Values are
// compared as they are written, so "Example.com" is not "example.com"; keys may have any order. An element that was removed by its index
// may have left another one in its place.
func Satisfied(path string, content []byte, bottle string, c Change) (bool, error) {
	m, err := open(path, content, bottle)
	if err != nil {
		return false, uneditable(path, err)
	}
	steps, value, err := m.translate(c)
	if err != nil {
		return false, uneditable(path, fmt.Errorf("%s: %w", c, err))
	}
	node, rest := descend(m.document().Root(), steps)
	switch {
	case c.Op == OpRemove || len(rest) > 0:
		return (c.Op == OpRemove) == (len(rest) > 0), nil
	case c.Op == OpSet:
		return same(node, value), nil
	}
	for _, element := range node.Content {
		if isList(node) && same(element, value) {
			return true, nil
		}
	}
	return false, nil
}

// open reads a file, and finds the document that declares a bottle.
func open(path string, content []byte, bottle string) (*manifest, error) {
	m, err := read(path, content)
	if err != nil {
		return nil, err
	}
	m.index = -1
	for n, d := range m.documents {
		d.Decode()
		switch {
		case !d.Declares || d.Slug != bottle:
		case m.index >= 0:
			return nil, fmt.Errorf("it declares bottle %s twice", scalar.Quote(bottle))
		default:
			m.index = n
		}
	}
	if m.index < 0 {
		return nil, fmt.Errorf("it declares no bottle %s", scalar.Quote(bottle))
	}
	return m, nil
}

// read reads the documents of a file.
func read(path string, content []byte) (*manifest, error) {
	m := &manifest{path: path}
	m.before, m.text = cutMark(string(content))
	location := parse.Location{Path: path, Abs: path}
	if v1alpha1.IsMarkdown(path) {
		return m, m.readFrontMatter(location)
	}
	if problem := parse.CheckText(location, []byte(m.text)); problem != nil {
		return nil, problem
	}
	documents, problems := parse.Documents(location, []byte(m.text))
	if len(problems) > 0 {
		return nil, problems[0]
	}
	m.documents = documents
	return m, nil
}

// cutMark cuts a byte order mark off.
func cutMark(text string) (mark, rest string) {
	rest = strings.TrimPrefix(text, "\ufeff")
	return text[:len(text)-len(rest)], rest
}

// readFrontMatter reads a claude-bottle file. Its document's lines are those of the file, while the text begins with the dashes.
func (m *manifest) readFrontMatter(location parse.Location) error {
	text, end, complete := parse.FrontMatter([]byte(m.text))
	d, problem := parse.FrontMatterDocument(location, text, complete)
	switch {
	case problem != nil:
		return problem
	case d == nil:
		return errors.New("it is no bottle of claude-bottle")
	}
	m.lead = len(text) - len(bytes.TrimLeft(text, "\n"))
	m.before, m.text, m.behind = m.before+m.text[:end-len(text)+m.lead], string(text), m.text[end:]
	m.documents = []*parse.Document{d}
	return nil
}

// apply makes one change.
func (m *manifest) apply(c Change) (*manifest, error) {
	steps, value, err := m.translate(c)
	if err != nil {
		return nil, err
	}
	return m.change(c.Op, steps, value)
}

// change makes one change, as the file names its fields, and checks that nothing else changed.
func (m *manifest) change(op Op, steps []step, value *node) (*manifest, error) {
	want, err := changed(m.document().Root(), op, steps, value)
	if err != nil {
		return nil, err
	}
	root, err := layOut(m.text, m.document().Root())
	if err != nil {
		return nil, err
	}
	isJSON := json.Valid([]byte(m.text))
	e := newEditor(m.text, root, isJSON)
	if err := e.change(op, steps, value); err != nil {
		return nil, err
	}
	text := e.result()
	if isJSON && !json.Valid([]byte(text)) {
		return nil, errors.New("the result would not be JSON")
	}
	return m.verified(text, want)
}

// verified parses a changed text, and compares all of its documents with what they are to be.
func (m *manifest) verified(text string, want *node) (*manifest, error) {
	unwanted := errors.New("the text around it would change its meaning")
	after, err := read(m.path, []byte(m.with(text)))
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", unwanted, err)
	}
	wants := slices.Clone(m.roots())
	wants[m.index] = want
	if !slices.EqualFunc(wants, after.roots(), identical) || after.behind != m.behind {
		return nil, unwanted
	}
	after.index = m.index
	return after, nil
}

func (m *manifest) roots() []*node {
	var roots []*node
	for _, d := range m.documents {
		roots = append(roots, d.Root())
	}
	return roots
}
