package scalar

import (
	"strconv"
	"strings"
)

// A manifest holds no secret: it is read by people, kept in Git, and shown by `docker inspect`. The
// well-known shapes of tokens are recognised wherever they stand. Matching is by hand: a set of regular
// expressions would cost every start of the program more.

// shape is how a kind of token begins and how many characters of which sort follow at least.
type shape struct {
	prefix string
	kind   string
	length int
	tail   func(byte) bool
}

// No token is shorter; most texts in a manifest are.
const shortest = 15

// The more specific prefix comes first.
var shapes = []shape{
	{"github_pat_", "a GitHub token", 20, IsWordByte},
	{"ghp_", "a GitHub token", 20, isAlnum},
	{"gho_", "a GitHub token", 20, isAlnum},
	{"ghu_", "a GitHub token", 20, isAlnum},
	{"ghs_", "a GitHub token", 20, isAlnum},
	{"ghr_", "a GitHub token", 20, isAlnum},
	{"glpat-", "a GitLab token", 16, isTokenByte},
	{"sk-ant-", "an Anthropic key", 10, isTokenByte},
	{"sk-proj-", "an OpenAI key", 16, isTokenByte},
	{"sk-svcacct-", "an OpenAI key", 16, isTokenByte},
	{"sk-admin-", "an OpenAI key", 16, isTokenByte},
	{"sk-", "an OpenAI key", 20, isAlnum},
	{"AKIA", "an AWS access key", 16, isUpperAlnum},
	{"ASIA", "an AWS access key", 16, isUpperAlnum},
	{"xoxa-", "a Slack token", 10, isTokenByte},
	{"xoxb-", "a Slack token", 10, isTokenByte},
	{"xoxe-", "a Slack token", 10, isTokenByte},
	{"xoxe.", "a Slack token", 10, isTokenByte},
	{"xoxo-", "a Slack token", 10, isTokenByte},
	{"xoxp-", "a Slack token", 10, isTokenByte},
	{"xoxr-", "a Slack token", 10, isTokenByte},
	{"xoxs-", "a Slack token", 10, isTokenByte},
	{"xapp-", "a Slack token", 10, isTokenByte},
	{"npm_", "an npm token", 30, isAlnum},
	{"AIza", "a Google API key", 30, isTokenByte},
	{"sk_live_", "a Stripe key", 16, isAlnum},
	{"rk_live_", "a Stripe key", 16, isAlnum},
}

func isAlnum(c byte) bool      { return IsWordByte(c) && c != '_' }
func isUpperAlnum(c byte) bool { return isAlnum(c) && (c < 'a' || c > 'z') }
func isTokenByte(c byte) bool  { return IsWordByte(c) || c == '-' }

// IsWordByte reports whether a byte is an ASCII letter, a digit or an underscore.
func IsWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// SecretKind returns the kind of secret that a text holds somewhere; "" when it holds none that is known.
func SecretKind(text string) string {
	if len(text) < shortest {
		return ""
	}
	if strings.Contains(text, "-----BEGIN ") && strings.Contains(text, "PRIVATE KEY") {
		return "a private key"
	}
	if hasJWT(text) {
		return "a JSON Web Token"
	}
	for _, s := range shapes {
		if s.in(text) {
			return s.kind
		}
	}
	return ""
}

func (s shape) in(text string) bool {
	for rest := text; ; {
		before, after, found := strings.Cut(rest, s.prefix)
		if !found {
			return false
		}
		if startsWord(before) && run(after, s.tail) >= s.length {
			return true
		}
		rest = after
	}
}

// startsWord reports whether what comes next begins a word: the "sk-" of "disk-" does not.
func startsWord(before string) bool {
	return before == "" || !isAlnum(before[len(before)-1])
}

func run(text string, of func(byte) bool) int {
	for i := range len(text) {
		if !of(text[i]) {
			return i
		}
	}
	return len(text)
}

// hasJWT finds two base64 parts that both begin like a JSON object, joined by a dot.
func hasJWT(text string) bool {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "eyJ")
		if !found {
			return false
		}
		head := run(after, isTokenByte)
		if payload, ok := strings.CutPrefix(after[head:], ".eyJ"); ok && head >= 8 && run(payload, isTokenByte) >= 8 {
			return true
		}
		rest = after
	}
}

const maxQuoted = 80 // characters of a value that a problem shows

// Quote returns a value as a problem may show it: quoted, not too long, and never a secret. A URL is cut down to
// nothing, since its user, path and query may all hold one.
func Quote(value string) string {
	if kind := SecretKind(value); kind != "" {
		return "(" + kind + ", not shown)"
	}
	if strings.Contains(value, "://") || strings.Contains(value, "@") {
		return "(not shown: it may hold a password)"
	}
	if runes := []rune(value); len(runes) > maxQuoted {
		value = string(runes[:maxQuoted]) + "…"
	}
	return strconv.Quote(value)
}
