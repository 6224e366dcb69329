package scalar

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression that both the validation and the schema use. It is compiled at its
// first use, since most runs of the program need few of them and some none.
type Pattern string

// The patterns of values that several fields have.
const (
	hostPattern     Pattern = `^(\*\.)?[A-Za-z0-9:]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9:])?$`
	AllowedPattern  Pattern = `^((\*\.)?[A-Za-z0-9:]([-A-Za-z0-9.:]{0,257}[A-Za-z0-9:])?|\[[0-9A-Fa-f:.]{2,45}\]:[0-9]{1,5})$`
	EnvNamePattern  Pattern = `^[A-Za-z_][A-Za-z0-9_]{0,119}$`
	QuantityPattern Pattern = `^[0-9]{1,18}(\.[0-9]{1,18})?([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?$`
)

var compiled sync.Map // pattern → *regexp.Regexp

// Matches reports whether a text matches the pattern.
func (p Pattern) Matches(text string) bool {
	re, ok := compiled.Load(p)
	if !ok {
		re, _ = compiled.LoadOrStore(p, regexp.MustCompile(string(p)))
	}
	return re.(*regexp.Regexp).MatchString(text) //nolint:forcetypeassert // nothing else is stored
}
