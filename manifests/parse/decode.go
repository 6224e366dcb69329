package parse

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// The tags that YAML gives to values.
const (
	nullTag = "!!null"
	boolTag = "!!bool"
	intTag  = "!!int"
	strTag  = "!!str"
	timeTag = "!!timestamp"
)

// decode fills a Go value from a node and reports everything of the node that does not fit. Fields are
// found by their json tags, as they are by the schema. A part that does not fit is left zero and marked
// unusable; the parts around it are still decoded.
func (d *Document) decode(n *yaml.Node, v reflect.Value, field string) {
	if field != "" {
		d.positions[field] = positionOf(n)
	}
	switch {
	case isUnplain(n):
		d.unusable[field] = true // reported by refuseUnplain
	case n.Tag == nullTag:
		d.mismatch(n, field, "it has no value", "give it one, like {} for an empty mapping, or remove the key if it is optional")
	case v.Type() == reflect.TypeFor[route.SecretRef]() && n.Kind != yaml.MappingNode:
		d.refuseLiteral(n, field)
	case v.Type() == reflect.TypeFor[v1alpha1.EnvValue]() && n.Kind != yaml.MappingNode:
		d.decodeText(n, v.FieldByName("Text"), field)
	case v.Type() == reflect.TypeFor[v1alpha1.EnvValue]() && len(n.Content) == 0:
		d.mismatch(n, field, "it does not say where the value is found", "write a text, {file: PATH} or {env: NAME}")
	case v.Type() == reflect.TypeFor[v1alpha1.AllowedHost]() && n.Kind != yaml.MappingNode:
		d.decodeText(n, v.FieldByName("Host"), field)
	case v.Type() == reflect.TypeFor[v1alpha1.AllowedHost]() && len(n.Content) == 0:
		d.mismatch(n, field, "it does not say which host is allowed", "write a host, like api.github.com, or {host: HOST, until: TIME}")
	case v.Type() == reflect.TypeFor[time.Time]():
		d.decodeTime(n, v, field)
	case v.Type() == reflect.TypeFor[*v1alpha1.GPUs]():
		v.Set(reflect.ValueOf(&v1alpha1.GPUs{}))
		d.decodeGPUs(n, v.Elem(), field)
	case v.Type() == reflect.TypeFor[oneOrMore]() && n.Kind == yaml.ScalarNode:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.decodeKind(n, v.Index(0), field)
	default:
		d.decodeKind(n, v, field)
	}
}

func (d *Document) decodeKind(n *yaml.Node, v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decodeKind(n, v.Elem(), field)
	case reflect.Struct:
		d.decodeStruct(n, v, field)
	case reflect.Map:
		d.decodeMap(n, v, field)
	case reflect.Slice:
		d.decodeList(n, v, field)
	case reflect.String:
		d.decodeText(n, v, field)
	case reflect.Bool:
		d.decodeBool(n, v, field)
	case reflect.Int64:
		d.decodeInt(n, v, field)
	default:
		panic("a field of a kind that decode does not know: " + v.Type().String()) // a mistake in types.go
	}
}

// decodeGPUs decodes the text all, a number or a list.
func (d *Document) decodeGPUs(n *yaml.Node, v reflect.Value, field string) {
	switch {
	case isText(n) && n.Value == "all":
		v.FieldByName("Count").SetInt(v1alpha1.AllGPUs)
	case n.Kind == yaml.ScalarNode && n.Tag == intTag:
		if d.decodeInt(n, v.FieldByName("Count"), field); v.FieldByName("Count").Int() < 0 { // which would be all
			v.SetZero()
		}
	case n.Kind == yaml.SequenceNode:
		d.decodeList(n, v.FieldByName("IDs"), field)
	default:
		d.mismatch(n, field, "all, a number or a list is expected, found "+d.describe(n, field), "write all, a number like 1, or a list of IDs")
	}
}

func (d *Document) mismatch(n *yaml.Node, field, reason, fix string) {
	d.unusable[field] = true
	d.reportAt(positionOf(n), field, reason, fix)
}

func (d *Document) decodeStruct(n *yaml.Node, v reflect.Value, field string) {
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, field, "a mapping is expected, found "+d.describe(n, field), "write it as a mapping with the keys "+fields.names())
		return
	}
	given := d.keys(n, field, func(key, value *yaml.Node) {
		index, known := fields.index[key.Value]
		if !known || !isText(key) {
			d.unknownKey(key, v.Type(), field)
			return
		}
		d.decode(value, v.Field(index), scalar.FieldOf(field, key.Value))
	})
	for _, name := range fields.required {
		if !given[name] {
			d.reportAt(positionOf(n), scalar.FieldOf(field, name), "it is missing", "add "+scalar.FieldOf(field, name))
		}
	}
}

func (d *Document) decodeMap(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, field, "a mapping of names to texts is expected, found "+d.describe(n, field), "write it as {NAME: value}")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.keys(n, field, func(key, value *yaml.Node) {
		at := scalar.FieldOf(field, key.Value)
		if !isText(key) {
			d.mismatch(key, at, "a key must be text, found "+describe(key), "write it in quotes: "+scalar.Quote(key.Value))
			return
		}
		if kind := scalar.SecretKind(key.Value); kind != "" {
			d.mismatch(key, at, "the key holds "+kind, scalar.SecretFix)
			return
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, element, at)
		v.SetMapIndex(reflect.ValueOf(key.Value), element)
	})
}

// keys calls do for every key of a mapping that has a plain key and comes first, and returns which it saw.
func (d *Document) keys(n *yaml.Node, field string, do func(key, value *yaml.Node)) map[string]bool {
	lines := map[string]int{}
	given := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.mismatch(key, orDocument(field), "a key must be text, found "+describe(key), "write one word before the colon")
			continue
		}
		if isUnplain(key) {
			continue
		}
		if first, again := lines[key.Value]; again {
			d.mismatch(key, keyField(field, key), fmt.Sprintf("the key is given twice, first in line %d", first), "remove one of them")
			continue
		}
		lines[key.Value], given[key.Value] = key.Line, true
		do(key, value)
	}
	return given
}

func (d *Document) decodeList(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, field, "a list is expected, found "+d.describe(n, field), "write it as a list: [first, second], or one element a line after \"- \"")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		d.decode(element, v.Index(i), ElementOf(field, i))
	}
}

func (d *Document) decodeText(n *yaml.Node, v reflect.Value, field string) {
	switch {
	case n.Kind == yaml.ScalarNode && scalar.SecretKind(n.Value) != "", isText(n) && scalar.CheckText(n.Value) != nil:
		f := scalar.CheckText(n.Value)
		d.mismatch(n, field, f.Reason, f.Fix)
	case isText(n):
		v.SetString(n.Value)
	case n.Kind != yaml.ScalarNode:
		d.mismatch(n, field, "text is expected, found "+d.describe(n, field), "write a single text")
	case isSecretField(field):
		d.mismatch(n, field, "text is expected, found "+d.describe(n, field), "write it in quotes")
	default:
		d.mismatch(n, field, "text is expected, found "+describe(n), "write it in quotes: "+scalar.Quote(n.Value))
	}
}

// lastYear is the last year that the JSON form of a bottle can have.
const lastYear = 9999

// decodeTime decodes a time with its zone. The zero time, which would be none, and other times before 1970 are refused, and so are those
// that have no JSON form.
func (d *Document) decodeTime(n *yaml.Node, v reflect.Value, field string) {
	const fix = "write a time with its zone, like 2026-11-27T18:00:00Z or 2026-11-27T19:00:00+01:00"
	at, err := time.Parse(time.RFC3339, n.Value)
	switch {
	case !isText(n):
		d.mismatch(n, field, "a time is expected, found "+d.describe(n, field), fix)
	case err != nil:
		d.mismatch(n, field, scalar.Quote(n.Value)+" is no time with a zone", fix)
	case at.Unix() <= 0:
		d.mismatch(n, field, scalar.Quote(n.Value)+" is before 1970", fix)
	case at.UTC().Year() > lastYear:
		d.mismatch(n, field, scalar.Quote(n.Value)+" is after the year 9999 in UTC", fix)
	default:
		v.Set(reflect.ValueOf(at.UTC()))
	}
}

func (d *Document) decodeBool(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.ScalarNode || n.Tag != boolTag {
		d.mismatch(n, field, "true or false is expected, found "+d.describe(n, field), "write true or false, without quotes")
		return
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
}

func (d *Document) decodeInt(n *yaml.Node, v reflect.Value, field string) {
	number, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.Tag != intTag || err != nil || strconv.FormatInt(number, 10) != n.Value {
		d.mismatch(n, field, "a whole number is expected, found "+d.describe(n, field), "write a number in decimal digits, without quotes")
		return
	}
	v.SetInt(number)
}

// isText reports whether a node is text to every YAML reader: what YAML 1.1 reads as a boolean is not.
// A plain date is, since all fields that could hold one are text.
func isText(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != strTag && n.Tag != timeTag {
		return false
	}
	return n.Style != 0 || !isOldBool(n.Value)
}

func isOldBool(value string) bool {
	switch strings.ToLower(value) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return false
}

// describe says what a node is, with its value where that helps and is no secret.
func (d *Document) describe(n *yaml.Node, field string) string {
	if isSecretField(field) && n.Kind == yaml.ScalarNode {
		return "a single value"
	}
	return describe(n)
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == nullTag:
		return "nothing"
	case n.Tag == boolTag:
		return "the boolean " + scalar.Quote(n.Value)
	case n.Tag == intTag || n.Tag == "!!float":
		return "the number " + scalar.Quote(n.Value)
	case n.Style == 0 && isOldBool(n.Value):
		return scalar.Quote(n.Value) + " (a boolean in YAML 1.1)"
	}
	return "the text " + scalar.Quote(n.Value)
}

func orDocument(field string) string {
	if field == "" {
		return WholeDocument
	}
	return field
}
