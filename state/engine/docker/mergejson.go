package docker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// MergeJSON puts ours into a JSON object that is there: objects are merged, lists get the elements that they lack, and for
// anything else ours counts.
func MergeJSON(there, ours []byte) ([]byte, error) {
	var a, b map[string]any
	if err := json.Unmarshal(there, &a); err != nil {
		return nil, fmt.Errorf("what is there is no JSON object: %w", err)
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
