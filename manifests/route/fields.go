package route

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// valueFields are the Fields of routes that come from no manifest: those that a manifest would need, or that are not
// empty. It finds them by their keys in a manifest.
type valueFields struct {
	has    map[string]bool
	order  []string
	faults map[string]*scalar.Fault // of texts that no manifest may hold
}

func fieldsOf(routes []Route) *valueFields {
	f := &valueFields{has: map[string]bool{}, faults: map[string]*scalar.Fault{}}
	for i, r := range routes {
		f.add(element("routes", i), reflect.ValueOf(r))
	}
	return f
}

func (f *valueFields) Has(field string) bool { return f.has[field] }

func (f *valueFields) Usable(field string) bool { return f.has[field] && f.faults[field] == nil }

func (f *valueFields) add(field string, v reflect.Value) {
	f.has[field] = true
	f.order = append(f.order, field)
	switch v.Kind() {
	case reflect.Pointer:
		f.addKeys(field, v.Elem())
	case reflect.Struct:
		f.addKeys(field, v)
	case reflect.Slice:
		for i := range v.Len() {
			f.add(element(field, i), v.Index(i))
		}
	case reflect.Map:
		for _, key := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) { //nolint:forcetypeassert // a route has no other
			f.add(scalar.FieldOf(field, key), v.MapIndex(reflect.ValueOf(key)))
		}
	case reflect.String:
		if fault := scalar.CheckText(v.String()); fault != nil {
			f.faults[field] = fault
		}
	default:
	}
}

func (f *valueFields) addKeys(field string, v reflect.Value) {
	for i := range v.NumField() {
		key, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		value := v.Field(i)
		empty := value.IsZero() || (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0
		if key == "-" || empty && options == "omitempty" {
			continue
		}
		f.add(field+"."+key, value)
	}
}
