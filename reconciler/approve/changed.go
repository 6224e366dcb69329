package approve

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// changedBottle is a bottle as declared without and with a change.
type changedBottle struct {
	Before v1alpha1.Bottle `json:"before"`
	After  v1alpha1.Bottle `json:"after"`
}

// hasChange reports whether a declaration has everything by which after differs from before. Whatever else it declares does not count: other
// people change it, too.
func hasChange(before, after, now v1alpha1.Bottle) (bool, error) {
	var trees [3]any
	for i, b := range []v1alpha1.Bottle{before, after, now} {
		data, err := json.Marshal(b)
		if err == nil {
			err = json.Unmarshal(data, &trees[i])
		}
		if err != nil {
			return false, fmt.Errorf("compare what bottle %s declares: %w", now.Metadata.Name, err)
		}
	}
	return hasDifference(trees[0], trees[1], trees[2]), nil
}

// hasDifference is hasChange for parts of JSON texts; nil stands for one that is missing.
func hasDifference(before, after, now any) bool {
	if reflect.DeepEqual(before, after) {
		return true
	}
	if fields, ok := after.(map[string]any); ok {
		was, _ := before.(map[string]any)
		is, _ := now.(map[string]any)
		return hasFields(was, fields, is)
	}
	if elements, ok := after.([]any); ok {
		was, _ := before.([]any)
		is, _ := now.([]any)
		return hasElements(was, elements, is)
	}
	return reflect.DeepEqual(after, now)
}

func hasFields(before, after, now map[string]any) bool {
	for name := range before {
		if _, stays := after[name]; !stays && now[name] != nil {
			return false
		}
	}
	for name, value := range after {
		if !hasDifference(before[name], value, now[name]) {
			return false
		}
	}
	return true
}

// hasElements compares lists by their elements, wherever these are. Lists of the same ones, in another order, have to be equal.
func hasElements(before, after, now []any) bool {
	in := func(list []any, element any) bool {
		return slices.ContainsFunc(list, func(other any) bool { return reflect.DeepEqual(other, element) })
	}
	same := true
	for _, element := range after {
		if added := !in(before, element); added {
			if same = false; !in(now, element) {
				return false
			}
		}
	}
	for _, element := range before {
		if removed := !in(after, element); removed {
			if same = false; in(now, element) {
				return false
			}
		}
	}
	return !same || reflect.DeepEqual(after, now)
}
