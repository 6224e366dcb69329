package dlp

import (
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/golden"
)

// TestRulesAreListed: manifests and docs know exactly the rules that there are.
func TestRulesAreListed(t *testing.T) {
	rules, err := loadRules()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rules {
		names = append(names, r.id)
	}
	slices.Sort(names)
	golden.Check(t, "../../../../manifests/contract/dlp_rules.txt", strings.Join(names, "\n")+"\n")
	golden.Check(t, "../../../../docs/reference/dlp-rules.md", "# Rules of data loss prevention\n\n"+
		"These are the names of the rules by which pipelock recognizes secrets, for [`dlpExceptions`](../manifest.md#exceptions). Most are\n"+
		"[gitleaks'](https://github.com/gitleaks/gitleaks), whose configuration describes them.\n\n- `"+strings.Join(names, "`\n- `")+"`\n")
	if d := detector(t); !slices.Equal(names, contract.DLPRules()) || slices.ContainsFunc(names, func(name string) bool { return !d.Has(name) || !contract.IsDLPRule(name) }) {
		t.Error("a rule is not known everywhere")
	}
}

// TestWithout: a detector without a rule finds what others match, and the one with it finds both.
func TestWithout(t *testing.T) {
	d := detector(t)
	fewer := d.Without([]string{"github-pat"})
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{token(): "", key: "private-key", token() + "\n" + key: "private-key", encodeBase64([]byte("xx" + token())): ""} {
		if got := fewer.Find([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if d.Find([]byte(text)) == "" {
			t.Errorf("%q: not found at all", text)
		}
	}
	if fewer.Has("github-pat") || !d.Has("github-pat") {
		t.Error("the rule was removed from the wrong one")
	}
}
