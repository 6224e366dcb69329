package dlp

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
	gitleaks "github.com/zricethezav/gitleaks/v8/config"
)

// rule matches one kind of secret.
type rule struct {
	id       string
	keywords []string  // each match has one; it is looked for first
	lead     int       // bytes of a match before its keyword, at most
	atWord   bool      // what comes before a match is no letter, digit or underscore
	length   int       // bytes of a match, at most
	begin    []byteSet // what a match without a lead begins with: a check before the expression's
	beginAny []byteSet // begin, in any case
	expr     string
	re       *regexp.Regexp
	whole    [caseForms]func() *regexp.Regexp
	open     [caseForms]func() *regexp.Regexp // without what must follow the secret
	group    int                              // of an expression, that is the secret; 0: the first that took part
	entropy  float64                          // bits a character that the secret has more than; placeholders have less
	known    []*regexp.Regexp
}

// source is a rule as gitleaks' configuration has it.
type source struct {
	ID          string
	Regex       string
	SecretGroup int
	Entropy     float64
	Keywords    []string
	Allowlists  []struct {
		RegexTarget string
		Regexes     []string
	}
}

// Rules that recognize a secret by the words around it (`okta_token = …`) begin with this. They are made for source files. An agent's
// requests carry its whole conversation, so one false positive would block all of them from then on.
const byContext = `[\w.-]{0,50}?(?:`

// leftOut are rules that recognize a secret by its context in other ways, or match what is not a secret.
var leftOut = map[string]bool{
	"airtable-personnal-access-token":       true, // the word airtable, anywhere
	"aws-amazon-bedrock-api-key-long-lived": true, // ABSK and 109 digits: any base64 now and then; see ownRules
	"curl-auth-header":                      true,
	"curl-auth-user":                        true,
	"facebook-access-token":                 true, // the word facebook, anywhere
	"facebook-page-access-token":            true, // EAAC and 100 digits: binary data in base64
	"flutterwave-public-key":                true,
	"freemius-secret-key":                   true,
	"kubernetes-secret-yaml":                true,
	"nuget-config-password":                 true,
	"private-key":                           true, // it needs the end of the key; see ownRules
	"sidekiq-sensitive-url":                 true, // a password in a URL of two hosts
	"square-access-token":                   true, // EAAA and 22 digits: binary data in base64
	"vault-service-token":                   true, // s. and 24 letters: a field's name in Go; see ownRules
}

// ownRules are for secrets that gitleaks has no rule for, or one in leftOut.
var ownRules = []source{
	{
		ID: "anthropic-token", Keywords: []string{"sk-ant-"}, Entropy: 3, // an agent's is sk-ant-oat01-…
		Regex: `\b(sk-ant-[a-z]{2,8}\d{2}-[\w-]{80,120})`,
	},
	{
		ID: "aws-amazon-bedrock-api-key-long-lived", Keywords: []string{"ABSKQmVkcm9ja0FQSUtleS1"}, Entropy: 3,
		Regex: `\b(ABSKQmVkcm9ja0FQSUtleS1[A-Za-z0-9+/]{80,250})`, // BedrockAPIKey- in base64
	},
	{
		ID: "vault-service-token", Keywords: []string{"hvs."}, Entropy: 3.5,
		Regex: `\b(hvs\.[\w-]{90,120})`,
	},
	{
		ID: "private-key", Keywords: []string{pemBegin},
		Regex: `(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----(?s:.){0,300}?[a-z0-9+/]{40}`,
	},
}

const pemBegin = "-----begin"

// leads are the rules whose keyword is inside of the match, with the bytes before it, at most.
var leads = map[string]int{
	"azure-ad-client-secret":  5,
	"hashicorp-tf-api-token":  15,
	"maxmind-license-key":     36,
	"microsoft-teams-webhook": 72,
	"openai-api-key":          85,
	"slack-webhook-url":       8,
}

// gitleaks ends a token in the ways of source files. A URL, a list or a markup end it in others.
var sourceEnds = []string{"(?:[\\x60'\"\\s;]|\\\\[nr]|$)", "(?:$|[\\\\'\"\\x60\\s<),])"}

const anyEnd = `(?:[^\w-]|\z)`

// longest is what a match that has no longest is bounded to.
const longest = undecidedBytes

func loadRules() ([]*rule, error) {
	var config struct{ Rules []source }
	if err := toml.Unmarshal([]byte(gitleaks.DefaultConfig), &config); err != nil {
		return nil, fmt.Errorf("gitleaks' rules: %w", err)
	}
	sources := slices.DeleteFunc(config.Rules, func(s source) bool {
		return s.Regex == "" || leftOut[s.ID] || strings.Contains(s.Regex, byContext)
	})
	var rules []*rule
	for _, s := range append(sources, ownRules...) {
		r, err := newRule(s)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", s.ID, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func newRule(s source) (*rule, error) {
	if len(s.Keywords) == 0 {
		return nil, fmt.Errorf("it has no keyword")
	}
	r := &rule{id: s.ID, keywords: s.Keywords, lead: leads[s.ID], group: s.SecretGroup, entropy: s.Entropy}
	expr := s.Regex
	for _, end := range sourceEnds {
		expr = strings.ReplaceAll(expr, end, anyEnd)
	}
	if err := r.compile(expr); err != nil {
		return nil, err
	}
	for _, list := range s.Allowlists {
		for _, expr := range list.Regexes {
			re, err := regexp.Compile(expr)
			if err != nil || list.RegexTarget != "" {
				return nil, fmt.Errorf("allowlist of %q: %w", list.RegexTarget, err)
			}
			r.known = append(r.known, re)
		}
	}
	return r, nil
}

// Forms of a rule's expression: which letters it matches in either case.
const (
	ownCase       = iota // those that it says
	prefixAnyCase        // literals', too: what stands before a secret is easily written another way
	anyCase              // all: names of hosts and headers lose theirs on the way
	caseForms
)

// compile prepares the expression. Forms that most texts don't need wait for the first that does.
func (r *rule) compile(expr string) error {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return err
	}
	r.expr, r.length = expr, min(maxLength(tree), longest)
	anchor := ""
	if r.lead == 0 {
		r.atWord = strings.HasPrefix(strings.TrimPrefix(expr, "(?i)"), `\b`)
		r.begin, _ = begins(tree)
		r.beginAny = slices.Clone(r.begin)
		for i := range r.beginAny {
			r.beginAny[i].addCases()
		}
		anchor = `\A`
	}
	if r.re, err = regexp.Compile(anchor + `(?:` + expr + `)`); err != nil {
		return err
	}
	open, err := syntax.Parse(strings.ReplaceAll(expr, anyEnd, ""), syntax.Perl)
	if err != nil {
		return err
	}
	dropEnd(open)
	for letters := range caseForms {
		switch letters {
		case prefixAnyCase:
			foldLiterals(tree)
			foldLiterals(open)
		case anyCase:
			foldClasses(tree)
			foldClasses(open)
		}
		r.whole[letters] = compiled(anchor, tree)
		r.open[letters] = compiled(anchor, open)
	}
	return nil
}

func compiled(anchor string, tree *syntax.Regexp) func() *regexp.Regexp {
	source := anchor + `(?:` + tree.String() + `)`
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(source) })
}

// maxLength is how long a match may be in bytes; longest, or more, when there is no bound.
func maxLength(re *syntax.Regexp) int {
	sum := 0
	switch re.Op {
	case syntax.OpLiteral:
		return 4 * len(re.Rune) // in UTF-8
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpStar, syntax.OpPlus:
		return longest
	case syntax.OpRepeat:
		if re.Max < 0 {
			return longest
		}
		return min(re.Max*maxLength(re.Sub[0]), longest)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			sum = max(sum, maxLength(sub))
		}
	default: // a concatenation, a group, an optional part, a position
		for _, sub := range re.Sub {
			sum += maxLength(sub)
		}
	}
	return min(sum, longest)
}

// matches reports whether text has a secret whose keyword begins at start. Call mayBegin first.
func (r *rule) matches(text []byte, start, letters int) bool {
	from := r.from(text, start)
	window := text[from:min(len(text), start+r.length)]
	if r.matchIn(r.re, window, start-from) > 0 {
		return true
	}
	letters = r.letters(text, start, letters)
	return letters != ownCase && r.matchIn(r.whole[letters](), window, start-from) > 0
}

// letters is the form to use for what begins at start of text. Within base64, nothing is in another case than its own:
// eight times as much of it would be taken for a secret.
func (r *rule) letters(text []byte, start, letters int) int {
	alone := start == 0 || base64Value[text[start-1]] > 63 || start > 1 && text[start-2] == '\\'
	if r.lead > 0 || !alone && (letters != anyCase || !beginsWord(text, start)) {
		return ownCase
	}
	return letters
}

// mayBegin reports whether what begins at start of text begins as a match does, separators or none in it.
func (r *rule) mayBegin(text []byte, start, letters int) bool {
	if r.atWord && !beginsWord(text, start) {
		return false
	}
	begin := r.begin
	if letters == anyCase {
		begin = r.beginAny
	}
	next := 0
	for _, c := range text[start:min(len(text), start+splitReach)] {
		switch {
		case next == len(begin):
			return true
		case begin[next].has(c):
			next++
		case !separates(c):
			return false
		}
	}
	return next == len(begin)
}

// matchIn is the offset behind a match of re, a form of the rule's expression, that has its keyword at an offset
// of window; 0 for none.
func (r *rule) matchIn(re *regexp.Regexp, window []byte, keyword int) int {
	groups := re.FindSubmatchIndex(window)
	if groups == nil || groups[0] > keyword || groups[1] <= keyword {
		return 0
	}
	secret := r.secret(window, groups)
	if entropy(secret) <= r.entropy && r.entropy > 0 {
		return 0
	}
	for _, known := range r.known {
		if known.Match(secret) {
			return 0
		}
	}
	return groups[1]
}

// from is where the match that has its keyword at start may begin. It has no escape in it, but may begin behind
// one (\nAKIA…, as JSON has it), whose letter is no part of the word.
func (r *rule) from(text []byte, start int) int {
	if r.lead == 0 {
		return start
	}
	from := max(0, start-r.lead)
	near := max(0, from-1)
	if escape := bytes.LastIndexByte(text[near:start], '\\'); escape >= 0 {
		from = min(near+escape+2, start)
	}
	return from
}

// secret is the part of a match that its entropy is measured of.
func (r *rule) secret(window []byte, groups []int) []byte {
	first := 2 * r.group
	for i := 2; r.group == 0 && i < len(groups); i += 2 {
		if groups[i] >= 0 {
			first = i
			break
		}
	}
	return window[groups[first]:groups[first+1]]
}

// beginsWord is \b before a word, or the end of an escape.
func beginsWord(text []byte, i int) bool {
	return i == 0 || !isWord(text[i-1]) || i > 1 && text[i-2] == '\\' && strings.IndexByte("nrtbf", text[i-1]) >= 0
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// entropy is Shannon's, in bits a byte.
func entropy(text []byte) float64 {
	var counts [256]int
	for _, c := range text {
		counts[c]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(text))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
