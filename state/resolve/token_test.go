package resolve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/route"
)

// TestTokens: what is no token is refused before cred-proxy gets it, and not quoted.
func TestTokens(t *testing.T) {
	for value, want := range map[string]string{
		"abcdef": "", "abcdef\n": "", "abcdef\r\n\n": "", "QUJD==": "", "TOKEN=": "", "git:secret": "", "a=b c": "contains NAME=VALUE",
		"": "is empty", "\n": "is empty", "abcdef\nabcdef": "has several lines", "# token\nabcdef": "has several lines", "GITHUB_TOKEN=abcdef": "contains NAME=VALUE", "export X=abcdef": "contains NAME=VALUE",
		" abcdef": "has spaces around", "abc\x00def": "has control characters", "\ufeffabcdef": "",
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		content, err := Reader{}.resolveToken("dev", route.SecretRef{File: path})
		switch {
		case want == "" && (err != nil || string(content.Reveal()) != strings.TrimRight(value, "\r\n")):
			t.Errorf("%q: %v", value, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), path+" "+want) || strings.Contains(err.Error(), "abcdef")):
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}
