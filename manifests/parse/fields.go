package parse

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// fields are the keys that a struct has in a manifest.
type fields struct {
	index    map[string]int
	order    []string
	required []string // those without omitempty or omitzero, as in the schema
}

var fieldsCache sync.Map // reflect.Type → fields

func fieldsOf(t reflect.Type) fields {
	if cached, ok := fieldsCache.Load(t); ok {
		return cached.(fields) //nolint:forcetypeassert // nothing else is stored
	}
	f := fields{index: map[string]int{}}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		f.index[name] = i
		f.order = append(f.order, name)
		if options != "omitempty" && options != "omitzero" {
			f.required = append(f.required, name)
		}
	}
	fieldsCache.Store(t, f)
	return f
}

func (f fields) names() string { return strings.Join(f.order, ", ") }

// keyField is the path of a key, or that of the mapping around it if the key could be a secret: in
// "token: abc,def" within braces, def is a key. Below the routes only keys like known ones are shown, and in a
// claude-bottle file those that are spelled as its keys are.
func keyField(parent string, key *yaml.Node) string {
	hidden := strings.HasPrefix(parent, v1alpha1.RoutesField) && scalar.Closest(key.Value, allKeys()) == "" ||
		strings.HasPrefix(parent, legacyRoutesField) && !legacyKeyPattern.Matches(key.Value)
	if isSecretField(parent) || hidden {
		return parent
	}
	return scalar.FieldOf(parent, key.Value)
}

func (d *Document) unknownKey(key *yaml.Node, t reflect.Type, field string) {
	fields := fieldsOf(t)
	reason, fix := "unknown key", "the keys here are "+fields.names()
	if d.legacy {
		d.Lose(positionOf(key), keyField(field, key), "unknown key: it has no equivalent in bottled", legacyKeyFix(key.Value, fields))
		return
	}
	switch {
	case isSecretField(field):
		// Somebody may have put the secret here; its key is not shown either.
	case unsupportedFix(field, key.Value) != "":
		reason, fix = splitAdvice(unsupportedFix(field, key.Value))
	case scalar.Closest(key.Value, fields.order) != "":
		fix = "did you mean " + scalar.Closest(key.Value, fields.order) + "?"
	case homeOf(key.Value) != "":
		fix = "it belongs to " + homeOf(key.Value) + "; " + fix
	}
	d.reportAt(positionOf(key), keyField(field, key), reason, fix)
}

// homeOf is where a key belongs that was found elsewhere; "" when there is no or no single such place. Places outside of lists, which
// are higher up in a manifest, take precedence.
func homeOf(key string) string {
	homes := homesOf()[key]
	if outside := slices.DeleteFunc(slices.Clone(homes), func(home string) bool { return strings.Contains(home, "[]") }); len(outside) > 0 {
		homes = outside
	}
	if len(homes) == 1 {
		return homes[0]
	}
	return ""
}

var allKeys = sync.OnceValue(func() []string { return slices.Sorted(maps.Keys(homesOf())) })

var homesOf = sync.OnceValue(func() map[string][]string {
	homes := map[string][]string{}
	collectHomes(reflect.TypeFor[v1alpha1.Bottle](), "", homes)
	return homes
})

func collectHomes(t reflect.Type, path string, homes map[string][]string) {
	switch t.Kind() {
	case reflect.Pointer:
		collectHomes(t.Elem(), path, homes)
	case reflect.Slice:
		collectHomes(t.Elem(), path+"[]", homes)
	case reflect.Struct:
		for _, name := range fieldsOf(t).order {
			homes[name] = append(homes[name], orDocument(path))
			collectHomes(t.Field(fieldsOf(t).index[name]).Type, scalar.FieldOf(path, name), homes)
		}
	default:
	}
}
