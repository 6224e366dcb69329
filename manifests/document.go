package manifests

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// document is one document of a file while it is checked.
type document struct {
	file location
	root *yaml.Node

	slug     string // the bottle's name, when it can be known
	declares bool   // it says that it is a bottle
	bottle   Bottle // as far as it could be decoded

	positions map[string]position // where each field's value is
	unusable  map[string]bool     // fields whose value has a problem of form: not to be judged by content
	problems  []Problem
	warnings  []Problem
	omitted   int // problems above maxProblems

	legacy bool // it is a claude-bottle file
	lost   int  // problems about what in such a file has no equivalent in a manifest
}

// maxProblems bounds what one document can make a reader read.
const maxProblems = 100

type position struct{ line, column int }

func positionOf(n *yaml.Node) position { return position{max(n.Line, 1), max(n.Column, 1)} }

// load decodes the document into its bottle and reports what doesn't fit the format. It is false for a document that
// declares no bottle: its other fields would only be noise.
func (d *document) load() bool {
	d.positions, d.unusable = map[string]position{}, map[string]bool{}
	if d.legacy {
		d.loadLegacy()
		return true
	}
	d.slug = declaredName(d.root)
	d.bottle.Source = d.source()
	if d.root.Kind != yaml.MappingNode {
		d.reportAt(positionOf(d.root), wholeDocument, "a mapping with apiVersion, kind, metadata and spec is expected, found "+describe(d.root), "write a bottle, or move this file out of the directory")
		return false
	}
	d.refuseUnplain()
	if d.declares = d.checkHeader(); d.declares {
		d.decode(d.root, reflect.ValueOf(&d.bottle).Elem(), "")
	}
	return d.declares
}

func (d *document) source() Source {
	return Source{Path: d.file.abs, Line: positionOf(d.root).line}
}

// isValid reports whether the document has no problems.
func (d *document) isValid() bool { return len(d.problems) == 0 }

// where is the place of the document for messages about others: FILE:LINE.
func (d *document) where() string { return fmt.Sprintf("%s:%d", d.file.path, d.bottle.Source.Line) }

// result is every problem of the document, or none.
func (d *document) result() []Problem {
	sortProblems(d.problems)
	if d.omitted > 0 {
		d.problems = append(d.problems, Problem{
			File: d.file.path, Line: d.problems[len(d.problems)-1].Line, Column: 1, Field: wholeDocument, Slug: d.slug,
			Reason: fmt.Sprintf("%d more problems are not shown", d.omitted), Fix: "repair those shown first",
		})
	}
	return d.problems
}

// report adds a problem at the place of a field, or of the nearest field around it.
func (d *document) report(field, reason, fix string) {
	d.reportAt(d.position(field), field, reason, fix)
}

func (d *document) reportAt(at position, field, reason, fix string) {
	if len(d.problems) >= maxProblems {
		d.omitted++
		return
	}
	p := Problem{File: d.file.path, Line: at.line, Column: at.column, Field: field, Reason: reason, Fix: fix, Slug: d.slug}
	if d.legacy {
		d.spell(&p)
	}
	d.problems = append(d.problems, p)
}

// warn adds a warning at the place of a field: the document stays valid.
func (d *document) warn(field, reason, fix string) {
	at := d.position(field)
	d.warnings = append(d.warnings, Problem{File: d.file.path, Line: at.line, Column: at.column, Field: field, Reason: reason, Fix: fix, Slug: d.slug})
}

func (d *document) position(field string) position {
	for field != "" {
		if at, ok := d.positions[field]; ok {
			return at
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return positionOf(d.root)
}

// has reports whether a field is there, whatever its value.
func (d *document) has(field string) bool {
	_, there := d.positions[field]
	return there
}

// given tells whether a field is there, with a value of the right form.
func (d *document) given(field string) bool { return d.has(field) && !d.unusable[field] }

// fieldOf is the path of a key below a field.
func fieldOf(parent, key string) string {
	switch {
	case !isPlainKey(key):
		return parent + "[" + scalar.Quote(key) + "]"
	case parent == "":
		return key
	}
	return parent + "." + key
}

func elementOf(parent string, index int) string { return fmt.Sprintf("%s[%d]", parent, index) }

func isPlainKey(key string) bool {
	for i := range len(key) {
		if !scalar.IsWordByte(key[i]) {
			return false
		}
	}
	return key != "" && scalar.SecretKind(key) == ""
}

// declaredName is metadata.name, when there is exactly one and it could be a bottle's. From any other
// text nothing follows about which bottle was meant.
func declaredName(root *yaml.Node) string {
	name := only(only(root, "metadata"), "name")
	if name == nil || !isText(name) || !isName(name.Value) {
		return ""
	}
	return name.Value
}

// only is the value of a key that a mapping has once; nil otherwise.
func only(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	var found *yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if k := mapping.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
			if found != nil {
				return nil
			}
			found = mapping.Content[i+1]
		}
	}
	return found
}
