package manifests

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that both the validation and the schema use. It is compiled at its
// first use, since most runs of the program need few of them and some none.
type pattern string

const (
	namePattern       pattern = `^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`
	labelKeyPattern   pattern = `^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	labelValuePattern pattern = `^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`
	hostPattern       pattern = `^(\*\.)?[A-Za-z0-9:]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9:])?$`
	allowedPattern    pattern = `^((\*\.)?[A-Za-z0-9:]([-A-Za-z0-9.:]{0,257}[A-Za-z0-9:])?|\[[0-9A-Fa-f:.]{2,45}\]:[0-9]{1,5})$`
	cidrPattern       pattern = `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`
	routePathPattern  pattern = `^/([A-Za-z0-9._~@+-]+/)+$`
	upstreamPattern   pattern = `^https?://[^/?#@]+(/[^?#]*)?$`
	authSchemePattern pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
	authHeaderPattern pattern = `^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$`
	authQueryPattern  pattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`
	methodPattern     pattern = `^[A-Z][A-Z-]{0,31}$`
	pathRulePattern   pattern = `^(/([A-Za-z0-9._~@+:=,!$&'()-]+|\*))+/?$`
	envNamePattern    pattern = `^[A-Za-z_][A-Za-z0-9_]{0,119}$`
	dockerfilePattern pattern = `^[^/]`
	targetPattern     pattern = `^/[^/]`
	quantityPattern   pattern = `^[0-9]{1,18}(\.[0-9]{1,18})?([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?$`
	legacyKeyPattern  pattern = `^[a-z]{1,20}(_[a-z]{1,20}){0,3}$`
	plainTextPattern  pattern = `^[A-Za-z/]([A-Za-z0-9._/:@+-]*[A-Za-z0-9._/@+-])?$`
	runtimePattern    pattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
)

var compiled sync.Map // pattern → *regexp.Regexp

func (p pattern) matches(text string) bool {
	re, ok := compiled.Load(p)
	if !ok {
		re, _ = compiled.LoadOrStore(p, regexp.MustCompile(string(p)))
	}
	return re.(*regexp.Regexp).MatchString(text) //nolint:forcetypeassert // nothing else is stored
}

func isName(text string) bool { return namePattern.matches(text) }
