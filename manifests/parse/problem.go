package parse

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is one thing wrong in one manifest. Its texts never hold a secret that the manifest holds.
type Problem struct {
	File         string // as reached from the path that is searched, as it was given
	Line, Column int    // counted from 1
	Field        string // path of the field, like spec.credProxy.routes[0].upstream
	Reason       string
	Fix          string
	// Slug is the name of the bottle that the document declares; "" when that cannot be known.
	Slug string
	// Policy says that the document is a policy, which declares no bottle.
	Policy bool
}

// Fields of the problems that are not about one field.
const (
	WholeFile     = "(file)"
	WholeDocument = "(document)"
)

// Error is the problem in one line: FILE:LINE:COL: FIELD: REASON; FIX. The reason of a problem outside of the file says what to do itself.
func (p Problem) Error() string {
	if p.Fix == "" {
		return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, p.Field, p.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s; %s", p.File, p.Line, p.Column, p.Field, p.Reason, p.Fix)
}

// SortProblems sorts by file and position.
func SortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
}
