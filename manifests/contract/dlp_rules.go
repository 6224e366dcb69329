package contract

import (
	_ "embed" // for the list
	"slices"
	"strings"
)

//go:embed dlp_rules.txt
var dlpRules string

// DLPRules returns the names of the rules by which the built-in pipelock recognizes secrets, sorted. Manifests and refusals use them.
func DLPRules() []string { return strings.Fields(dlpRules) }

// IsDLPRule reports whether a text is the name of a rule.
func IsDLPRule(name string) bool {
	_, found := slices.BinarySearch(DLPRules(), name)
	return found
}
