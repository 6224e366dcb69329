package rules

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// TestSchemaDescribesEverything finds fields without a description, and constraints given twice.
func TestSchemaDescribesEverything(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || !bytes.Contains(text, []byte(`"$schema": "https://json-schema.org/draft/2020-12/schema"`)) {
		t.Error("not a JSON Schema of draft 2020-12")
	}
	var check func(reflect.Type)
	check = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			check(of.Elem())
		case reflect.Struct:
			if of == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range of.NumField() {
				if f := of.Field(i); f.Tag.Get("json") != "-" {
					if f.Tag.Get("jsonschema_description") == "" {
						t.Errorf("%s.%s has no description", of.Name(), f.Name)
					}
					check(f.Type)
				}
			}
		default:
		}
	}
	check(reflect.TypeFor[v1alpha1.Bottle]())
	seen := map[string]bool{}
	for _, c := range constraints {
		if seen[c.field] {
			t.Errorf("%s is constrained twice", c.field)
		}
		seen[c.field] = true
	}
}
