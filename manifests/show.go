package manifests

import (
	"strconv"
	"strings"
)

const maxShown = 80 // characters of a value that a problem shows

// show is a value as a problem may show it: quoted, not too long, and never a secret. A URL is cut down to
// nothing, since its user, path and query may all hold one.
func show(value string) string {
	if kind := secretKind(value); kind != "" {
		return "(" + kind + ", not shown)"
	}
	if strings.Contains(value, "://") || strings.Contains(value, "@") {
		return "(not shown: it may hold a password)"
	}
	if runes := []rune(value); len(runes) > maxShown {
		value = string(runes[:maxShown]) + "…"
	}
	return strconv.Quote(value)
}
