package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// errUnsayable is for what only a manifest can say.
var errUnsayable = errors.New("a claude-bottle file can't say this; replace it by a manifest (bottled import)")

// translate returns the path and the value of a change as the file has them.
func (m *manifest) translate(c Change) ([]step, *node, error) {
	if c.Op != OpAppend && c.Op != OpSet && c.Op != OpRemove {
		return nil, nil, errors.New("the operation is unknown")
	}
	field, value := c.Field, c.Value
	if v1alpha1.IsMarkdown(m.path) {
		var err error
		if field, value, err = legacyChange(c); err != nil {
			return nil, nil, err
		}
	}
	steps, err := stepsOf(field)
	if err != nil || c.Op == OpRemove {
		return steps, nil, err
	}
	n, err := valueNode(value)
	return steps, n, err
}

// Fields that a claude-bottle file has: with values that are the same there, with lists of them, and those around routes and tokens.
var (
	legacyText   = regexp.MustCompile(`^spec\.(egress\.dlpAction|egress\.allowlist\[\d+\]|credProxy\.routes\[\d+\]\.(path|upstream|authScheme|token\.env|roles\[\d+\])|agent\.env(\.\w+|\["[^"]*"\]))$`)
	legacyTexts  = regexp.MustCompile(`^spec\.(egress\.allowlist|credProxy\.routes\[\d+\]\.roles)$`)
	legacyRoute  = regexp.MustCompile(`^spec\.credProxy\.routes\[\d+\]$`)
	legacyRoutes = regexp.MustCompile(`^spec\.credProxy\.routes$`)
	legacyToken  = regexp.MustCompile(`^spec\.credProxy\.routes\[\d+\]\.token$`)
	legacyFlag   = regexp.MustCompile(`^spec\.supervise$`)
	legacyEnv    = regexp.MustCompile(`^spec\.agent\.env$`)
	legacyMap    = regexp.MustCompile(`^spec\.(egress|credProxy|agent\.env)$`)
)

// legacyChange returns the path and the value that mean the same in a claude-bottle file.
func legacyChange(c Change) (field string, value any, err error) {
	field, appending := v1alpha1.LegacyField(c.Field), c.Op == OpAppend
	matches := func(one, list *regexp.Regexp) bool {
		return appending && list.MatchString(c.Field) || !appending && one.MatchString(c.Field)
	}
	switch {
	case c.Op == OpRemove && (legacyTexts.MatchString(c.Field) || legacyRoutes.MatchString(c.Field) || legacyMap.MatchString(c.Field)):
		return field, nil, nil
	case matches(legacyText, legacyTexts):
		return as[string](field, c)
	case matches(legacyFlag, legacyFlag):
		return as[bool](field, c)
	case legacyTexts.MatchString(c.Field):
		return as[[]string](field, c)
	case matches(legacyRoute, legacyRoutes):
		return legacyRouteOf(field, c)
	case legacyRoutes.MatchString(c.Field):
		return legacyRoutesOf(field, c)
	case legacyEnv.MatchString(c.Field):
		return as[map[string]string](field, c)
	case legacyToken.MatchString(c.Field):
		_, ref, err := as[route.SecretRef](field, c)
		token, ok := ref.(route.SecretRef)
		if err != nil || !ok || token.File != "" || token.Exec != nil || token.Refresh != "" {
			return "", nil, errUnsayable
		}
		return field, token.Env, nil
	}
	return "", nil, errUnsayable
}

func legacyRouteOf(field string, c Change) (string, any, error) {
	field, value, err := as[route.Route](field, c)
	r, ok := value.(route.Route)
	if err != nil || !ok {
		return field, value, err
	}
	front, complete := parse.LegacyRoute(r)
	if !complete {
		return "", nil, errUnsayable
	}
	return field, front, nil
}

func legacyRoutesOf(field string, c Change) (string, any, error) {
	_, value, err := as[[]route.Route](field, c)
	routes, ok := value.([]route.Route)
	if err != nil || !ok {
		return field, value, err
	}
	fronts := []any{}
	for _, r := range routes {
		front, complete := parse.LegacyRoute(r)
		if !complete {
			return "", nil, errUnsayable
		}
		fronts = append(fronts, front)
	}
	return field, fronts, nil
}

// as returns a change's value as one of a type; none for a removal.
func as[T any](field string, c Change) (string, any, error) {
	if c.Op == OpRemove {
		return field, nil, nil
	}
	text, err := json.Marshal(c.Value)
	if err != nil {
		return "", nil, err
	}
	var value T
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		return "", nil, errUnsayable
	}
	return field, value, nil
}
