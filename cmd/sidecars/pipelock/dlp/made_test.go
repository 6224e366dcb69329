package dlp

import (
	"encoding/base64"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

func detector(t testing.TB) *Detector {
	t.Helper()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func eachRule(t testing.TB, do func(*rule)) {
	t.Helper()
	seen := map[*rule]bool{}
	for _, rules := range detector(t).rules {
		for _, r := range rules {
			if !seen[r] {
				do(r)
			}
			seen[r] = true
		}
	}
	if len(seen) < 100 {
		t.Fatalf("only %d rules", len(seen))
	}
}

// made is a secret that a rule knows. Nobody's: a text that only looks like one. It holds no line break.
func made(t testing.TB, r *rule, seed uint64) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	expr := strings.ReplaceAll(r.expr, anyEnd, "")
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		var b strings.Builder
		write(&b, tree, rng)
		text := b.String()
		at := -1
		for _, k := range r.keywords {
			if i := strings.Index(strings.ToLower(text), strings.ToLower(k)); i >= 0 && (at < 0 || i < at) {
				at = i
			}
		}
		if at >= 0 && !strings.ContainsAny(text, "\r\n") && r.matches([]byte(text), at, ownCase) {
			return text
		}
	}
	t.Fatalf("%s: nothing made of %s is known", r.id, expr)
	return ""
}

func write(b *strings.Builder, re *syntax.Regexp, rng *rand.Rand) {
	times := func(low, high int) {
		for range low + rng.IntN(max(high, low)-low+1) {
			write(b, re.Sub[0], rng)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteByte(oneOf(re.Rune, rng))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('.')
	case syntax.OpQuest:
		times(0, 1)
	case syntax.OpStar:
		times(0, 9)
	case syntax.OpPlus:
		times(1, 20)
	case syntax.OpRepeat:
		high := re.Max
		if high < 0 {
			high = re.Min + 20
		}
		times(re.Min, high)
	case syntax.OpAlternate:
		write(b, re.Sub[rng.IntN(len(re.Sub))], rng)
	default:
		for _, sub := range re.Sub {
			write(b, sub, rng)
		}
	}
}

// oneOf is a printable ASCII character of a class.
func oneOf(ranges []rune, rng *rand.Rand) byte {
	var all []byte
	for pair := range slices.Chunk(ranges, 2) {
		for c := max(pair[0], '!'); c <= min(pair[1], '~'); c++ {
			all = append(all, byte(c))
		}
	}
	if len(all) == 0 {
		return ' '
	}
	return all[rng.IntN(len(all))]
}

// token is a GitHub token that nobody has.
func token() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b strings.Builder
	for i := range 36 {
		b.WriteByte(digits[(i*i*7+i*13)%len(digits)])
	}
	return "ghp_" + b.String()
}

func encodeBase64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
