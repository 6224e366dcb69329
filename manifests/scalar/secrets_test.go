package scalar

import (
	"strings"
	"testing"
)

// made is a stand-in for the random part of a token. The tokens of this test are put together here, so
// that no scanner takes them for real ones.
func made(length int) string { return strings.Repeat("EXAMPLE0", length/8+1)[:length] }

func TestSecretKind(t *testing.T) {
	cases := []struct{ text, want string }{
		{"ghp_" + made(36), "a GitHub token"},
		{"gho_" + made(36), "a GitHub token"},
		{"ghu_" + made(36), "a GitHub token"},
		{"ghs_" + made(36), "a GitHub token"},
		{"github_pat_" + made(22) + "_" + made(59), "a GitHub token"},
		{"glpat-" + made(20), "a GitLab token"},
		{"sk-ant-oat01-" + made(40), "an Anthropic key"},
		{"sk-ant-" + made(40), "an Anthropic key"},
		{"sk-proj-" + made(40), "an OpenAI key"},
		{"sk-" + made(48), "an OpenAI key"},
		{"AKIA" + made(16), "an AWS access key"},
		{"ASIA" + made(16), "an AWS access key"},
		{"xoxb-" + made(24), "a Slack token"},
		{"xoxp-" + made(24), "a Slack token"},
		{"npm_" + made(36), "an npm token"},
		{"AIza" + made(35), "a Google API key"},
		{"sk_live_" + made(24), "a Stripe key"},
		{"-----BEGIN RSA PRIVATE" + " KEY-----\n" + made(64), "a private key"},
		{"-----BEGIN OPENSSH PRIVATE" + " KEY-----", "a private key"},
		{"eyJ" + made(20) + ".eyJ" + made(20) + "." + made(20), "a JSON Web Token"},
		// Wherever they stand.
		{"--header=Authorization: Bearer ghp_" + made(36), "a GitHub token"},
		{"https://x-access-token:ghs_" + made(36) + "@github.com/a/b", "a GitHub token"},
		{"a eyJ eyJ" + made(20) + ".eyJ" + made(20) + ".x", "a JSON Web Token"},
		{"ghp_ and ghp_" + made(36), "a GitHub token"},
		{"key=sk-ant-" + made(40), "an Anthropic key"},
		// What only looks a little like one.
		{"ghp_short", ""},
		{"weighp_" + made(36), ""},
		{"risk-" + made(48), ""},
		{"sk-learn-and-other-long-names-of-things", ""},
		{"SAKIA" + made(16), ""},
		{"AKIA lower " + strings.ToLower(made(16)), ""},
		{"npm_config_registry", ""},
		{"https://registry.npmjs.org/npm_packages/x", ""},
		{"-----BEGIN CERTIFICATE-----\n" + made(64), ""},
		{"eyJhbGciOiJub25lIn0", ""},
		{"eyJ.eyJ.", ""},
		{"sha256:" + strings.Repeat("0123456789abcdef", 4), ""},
		{"", ""},
	}
	for _, c := range cases {
		if got := SecretKind(c.text); got != c.want {
			t.Errorf("%.20s…: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestQuoteKeepsSecrets(t *testing.T) {
	for _, text := range []string{"ghp_" + made(36), strings.Repeat("x", maxQuoted-10) + " ghp_" + made(36), "https://me:" + made(9) + "@example.com/?key=" + made(9)} {
		if got := Quote(text); strings.Contains(got, "EXAMPLE") {
			t.Errorf("show(%q) = %s", text, got)
		}
	}
	if got, want := Quote("a\x1b\"ü"), `"a\x1b\"ü"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Quote(strings.Repeat("ü", 200)); len([]rune(got)) != maxQuoted+3 {
		t.Errorf("got %s", got)
	}
}
