package parse

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Document is one document of a file while it is checked: Decode fills in the bottle, and rules report what is wrong in it.
type Document struct {
	File Location
	root *yaml.Node

	Slug     string          // the bottle's name, when it can be known
	Declares bool            // it says that it is a bottle
	Foreign  Foreign         // what speaks against that
	Bottle   v1alpha1.Bottle // as far as it could be decoded
	// Policy is the document's policy, as far as it could be decoded. It is nil in a document that doesn't say that it is one; all others
	// declare no bottle.
	Policy *v1alpha1.ApprovalPolicy

	positions map[string]Position // where each field's value is
	unusable  map[string]bool     // fields whose value has a problem of form: not to be judged by content
	problems  []Problem
	Warnings  []Problem // what is risky in it, though valid
	omitted   int       // problems above maxProblems

	legacy bool // it is a claude-bottle file
	lost   int  // problems about what in such a file has no equivalent in a manifest
}

// maxProblems bounds what one document can make a reader read.
const maxProblems = 100

// Position is a place in a file. Lines and columns are counted from 1.
type Position struct{ Line, Column int }

// Root is the document's top node. Nobody changes it.
func (d *Document) Root() *yaml.Node { return d.root }

func positionOf(n *yaml.Node) Position { return Position{max(n.Line, 1), max(n.Column, 1)} }

// Decode decodes the document into its bottle or policy and reports what doesn't fit the format. It is false for a document that
// declares neither: its other fields would only be noise.
func (d *Document) Decode() bool {
	ok := d.decodeDocument()
	d.Bottle.Source.Lines = map[string]int{}
	for field, at := range d.positions {
		d.Bottle.Source.Lines[field] = at.Line
	}
	if d.Policy != nil {
		d.Policy.Source = d.Bottle.Source
	}
	return ok
}

func (d *Document) decodeDocument() bool {
	d.positions, d.unusable = map[string]Position{}, map[string]bool{}
	if d.legacy {
		d.loadLegacy()
		return true
	}
	d.Slug = declaredName(d.root)
	d.Bottle.Source = d.source()
	if d.root.Kind != yaml.MappingNode {
		d.Foreign = Unlabelled
		d.reportAt(positionOf(d.root), WholeDocument, "a mapping with apiVersion, kind, metadata and spec is expected, found "+describe(d.root), "write a bottle, or move this file out of the directory")
		return false
	}
	if d.meansPolicy() {
		d.Slug, d.Policy = "", &v1alpha1.ApprovalPolicy{}
	}
	d.refuseUnplain()
	if d.Policy != nil {
		d.checkVersionAndKind(v1alpha1.PolicyKind)
		d.decode(d.root, reflect.ValueOf(d.Policy).Elem(), "")
		return true
	}
	if d.Declares = d.checkHeader(); d.Declares {
		d.decode(d.root, reflect.ValueOf(&d.Bottle).Elem(), "")
	}
	return d.Declares
}

func (d *Document) source() v1alpha1.Source {
	return v1alpha1.Source{Path: d.File.Abs, Line: positionOf(d.root).Line}
}

// IsValid reports whether the document has no problems.
func (d *Document) IsValid() bool { return len(d.problems) == 0 }

// Where is the place of the document for messages about others: FILE:LINE.
func (d *Document) Where() string { return fmt.Sprintf("%s:%d", d.File.Path, d.Bottle.Source.Line) }

// Problems is every problem of the document, or none.
func (d *Document) Problems() []Problem {
	SortProblems(d.problems)
	if d.omitted > 0 {
		d.problems = append(d.problems, Problem{
			File: d.File.Path, Line: d.problems[len(d.problems)-1].Line, Column: 1, Field: WholeDocument, Slug: d.Slug, Policy: d.Policy != nil,
			Reason: fmt.Sprintf("%d more problems are not shown", d.omitted), Fix: "repair those shown first",
		})
	}
	return d.problems
}

// Report adds a problem at the place of a field, or of the nearest field around it.
func (d *Document) Report(field, reason, fix string) {
	d.reportAt(d.Position(field), field, reason, fix)
}

func (d *Document) reportAt(at Position, field, reason, fix string) {
	if len(d.problems) >= maxProblems {
		d.omitted++
		return
	}
	p := Problem{File: d.File.Path, Line: at.Line, Column: at.Column, Field: field, Reason: reason, Fix: fix, Slug: d.Slug, Policy: d.Policy != nil}
	if d.legacy {
		d.spell(&p)
	}
	d.problems = append(d.problems, p)
}

// Warn adds a warning at the place of a field: the document stays valid.
func (d *Document) Warn(field, reason, fix string) {
	at := d.Position(field)
	p := Problem{File: d.File.Path, Line: at.Line, Column: at.Column, Field: field, Reason: reason, Fix: fix, Slug: d.Slug, Policy: d.Policy != nil}
	if d.legacy {
		d.spell(&p)
	}
	d.Warnings = append(d.Warnings, p)
}

// Position is the place of a field, or of the nearest field around it.
func (d *Document) Position(field string) Position {
	for field != "" {
		if at, ok := d.positions[field]; ok {
			return at
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return positionOf(d.root)
}

// Has reports whether a field is there, whatever its value.
func (d *Document) Has(field string) bool {
	_, there := d.positions[field]
	return there
}

// Given reports whether a field is there, with a value of the right form.
func (d *Document) Given(field string) bool { return d.Has(field) && !d.unusable[field] }

// ElementOf is the path of an element of a list.
func ElementOf(parent string, index int) string { return fmt.Sprintf("%s[%d]", parent, index) }

// declaredName is metadata.name, when there is exactly one and it could be a bottle's. From any other
// text nothing follows about which bottle was meant.
func declaredName(root *yaml.Node) string {
	name := only(only(root, "metadata"), "name")
	if name == nil || !isText(name) || !v1alpha1.IsName(name.Value) {
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
