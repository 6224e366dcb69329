package docker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// MergeJSON merges ours into an existing JSON object: objects are merged recursively, missing elements are appended to lists, and any
// other value is replaced by ours.
func MergeJSON(there, ours []byte) ([]byte, error) {
	var a, b map[string]any
	if err := json.Unmarshal(there, &a); err != nil {
		return nil, fmt.Errorf("the existing file is not a JSON object: %w", err)
	}
	if err := json.Unmarshal(ours, &b); err != nil {
		return nil, err
	}
	merged, err := json.MarshalIndent(mergeValues(a, b), "", "  ")
	return append(merged, '\n'), err
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
