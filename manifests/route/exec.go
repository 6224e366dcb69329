package route

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

const (
	// MaxTokenWords bounds token.exec.
	MaxTokenWords = 32
	// RefreshPattern is what token.refresh looks like.
	RefreshPattern scalar.Pattern = `^([0-9]{1,5}(h|m|s)){1,3}$`

	defaultRefresh = time.Hour
	minRefresh     = time.Minute
	maxRefresh     = 7 * 24 * time.Hour
)

// RefreshInterval is how often the program of a valid reference is run.
func (r SecretRef) RefreshInterval() time.Duration {
	if d, err := time.ParseDuration(r.Refresh); err == nil {
		return d
	}
	return defaultRefresh
}

// checkTokenExec validates a program that prints a token. No word is shown: one may be the token, put in the wrong place.
func (c *checker) checkTokenExec(field string, token SecretRef) {
	words := field + ".exec"
	if c.fields.Usable(words) {
		if f := c.tokenExecFault(words, token.Exec); f != nil {
			c.fault(words, f)
		}
	}
	refresh := field + ".refresh"
	switch {
	case !c.fields.Usable(refresh):
	case !c.fields.Has(words):
		c.report(refresh, "it is of exec only: bottled notices when a file changes", "remove it")
	case !RefreshPattern.Matches(token.Refresh):
		c.report(refresh, "it is not a duration", "write a number and its unit, like 15m or 1h30m")
	case token.RefreshInterval() < minRefresh || token.RefreshInterval() > maxRefresh:
		c.report(refresh, "it is not between 1m and 168h", "write a duration in this range, like 1h")
	}
}

func (c *checker) tokenExecFault(field string, words []string) *scalar.Fault {
	const fix = "write the program and its arguments, like [op, read, \"op://vault/item/field\"]"
	for i := range words {
		if !c.fields.Usable(element(field, i)) {
			return nil // it has its problem already
		}
	}
	switch {
	case len(words) == 0:
		return scalar.NewFault("the list is empty", fix)
	case len(words) > MaxTokenWords:
		return scalar.NewFault(fmt.Sprintf("%d words are more than %d", len(words), MaxTokenWords), "write a script, and name that")
	case slices.Contains(words, ""):
		return scalar.NewFault("a word is empty", fix)
	case strings.Contains(words[0], "/") && (!path.IsAbs(words[0]) || path.Clean(words[0]) != words[0]):
		return scalar.NewFault("the program's path is not absolute and clean", "write its absolute path, or its name alone if it is in the PATH of bottled")
	case strings.ContainsAny(words[0], " \t\n"):
		return scalar.NewFault("the program's name has spaces: no shell splits it", fix)
	}
	return nil
}
