package edit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// Op is what a Change does.
type Op string

// The operations.
const (
	OpAppend Op = "append" // adds an element to a list
	OpSet    Op = "set"    // gives a field a value, or replaces its value
	OpRemove Op = "remove" // removes a key of a mapping or an element of a list
)

// Change is a change of one value of a bottle. Its JSON form may be stored.
type Change struct {
	Op Op `json:"op"`
	// Field is the path of the field in a manifest, as in problems and in v1alpha1.Source.Lines: spec.egress.allowlist,
	// spec.credProxy.routes[2].upstream, spec.agent.env["a.b"]. In a claude-bottle file the field that means the same is changed.
	Field string `json:"field"`
	// Value is what encoding/json makes a JSON value of: a text, a route.Route, a list. It has no null. Keys keep their order.
	Value any `json:"value,omitempty"`
}

// Append adds an element to a list. The list and the mappings around it are created if they are missing or have no value.
func Append(list string, element any) Change {
	return Change{Op: OpAppend, Field: list, Value: element}
}

// Set gives a field a value. A missing key is added, with the mappings around it; an element of a list must exist. A value that exists
// is replaced as a whole, with the comments in it: see Between for less.
func Set(field string, value any) Change { return Change{Op: OpSet, Field: field, Value: value} }

// Remove removes the key of a mapping, or the element of a list like spec.egress.allowlist[2]. Comments above it stay, one at the end of
// its line goes. What is left without keys or elements is written as {} or [].
func Remove(field string) Change { return Change{Op: OpRemove, Field: field} }

// String returns the change as an instruction for people: `add "example.com" to spec.egress.allowlist`.
func (c Change) String() string {
	switch c.Op {
	case OpAppend:
		return "add " + c.valueText() + " to " + c.Field
	case OpSet:
		return "set " + c.Field + " to " + c.valueText()
	case OpRemove:
		return "remove " + c.Field
	}
	return string(c.Op) + " " + c.Field
}

func (c Change) valueText() string {
	text, err := json.Marshal(c.Value)
	if err != nil {
		return fmt.Sprintf("a value that is not JSON (%v)", err)
	}
	return string(text)
}

// step is one component of a field's path: a key, or an index if key is "".
type step struct {
	key   string
	index int
}

// stepsOf parses the path of a field, as scalar.FieldOf and parse.ElementOf make it.
func stepsOf(field string) ([]step, error) {
	var steps []step
	for rest := field; rest != ""; {
		s, after, err := cutStep(rest, len(steps) == 0)
		if err != nil {
			return nil, fmt.Errorf("%s is no path of a field: %w", scalar.Quote(field), err)
		}
		steps, rest = append(steps, s), after
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("%s is no path of a field: it is empty", scalar.Quote(field))
	}
	return steps, nil
}

func cutStep(text string, first bool) (step, string, error) {
	if inner, bracket := strings.CutPrefix(text, "["); bracket {
		if quoted, err := strconv.QuotedPrefix(inner); err == nil && strings.HasPrefix(inner[len(quoted):], "]") {
			key, err := strconv.Unquote(quoted)
			if err == nil && key == "" {
				err = fmt.Errorf("a key is empty")
			}
			return step{key: key}, inner[len(quoted)+1:], err
		}
		digits, after, closed := strings.Cut(inner, "]")
		index, err := strconv.Atoi(digits)
		if err != nil || index < 0 || !closed {
			return step{}, "", fmt.Errorf("[%s] is no index", digits)
		}
		return step{index: index}, after, nil
	}
	if !first {
		dot, isDot := strings.CutPrefix(text, ".")
		if !isDot {
			return step{}, "", fmt.Errorf("a dot is missing before %s", scalar.Quote(text))
		}
		text = dot
	}
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return step{}, "", fmt.Errorf("a key is empty")
	}
	return step{key: text[:end]}, text[end:], nil
}

func (s step) String() string {
	if s.key == "" {
		return fmt.Sprintf("element [%d]", s.index)
	}
	return "key " + scalar.Quote(s.key)
}
