package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// merge merges ours into an existing file, of JSON or by its name of TOML: objects are merged recursively, missing elements are appended
// to lists, and any other value is replaced by ours. Comments of TOML are lost.
func merge(name string, there, ours []byte) ([]byte, error) {
	decode, kind := json.Unmarshal, "a JSON object"
	if path.Ext(name) == ".toml" {
		decode, kind = toml.Unmarshal, "TOML"
	}
	var a, b map[string]any
	if err := decode(there, &a); err != nil {
		return nil, fmt.Errorf("the existing file is not %s: %w", kind, err)
	}
	if err := decode(ours, &b); err != nil {
		return nil, err
	}
	merged := mergeValues(a, b)
	if path.Ext(name) == ".toml" {
		return toml.Marshal(merged)
	}
	text, err := json.MarshalIndent(merged, "", "  ")
	return append(bytes.TrimSpace(text), '\n'), err
}

func mergeValues(there, ours any) any {
	switch ours := ours.(type) {
	case map[string]any:
		if there, ok := there.(map[string]any); ok && there != nil {
			for key, value := range ours {
				there[key] = mergeValues(there[key], value)
			}
			return there
		}
	case []any:
		if there, ok := there.([]any); ok {
			return mergeLists(there, ours)
		}
	}
	return ours
}

func mergeLists(there, ours []any) []any {
	for _, value := range ours {
		same := func(v any) bool { return reflect.DeepEqual(v, value) }
		if !slices.ContainsFunc(there, same) {
			there = append(there, value)
		}
	}
	return there
}
