package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLegacy feeds Load and Import with any front matter, plain and inside of a token's name.
func FuzzLegacy(f *testing.F) {
	for _, pattern := range []string{"../testdata/legacy/*.md", "../testdata/bad/*.md"} {
		inputs, err := filepath.Glob(pattern)
		if err != nil || len(inputs) == 0 {
			f.Fatal(pattern, err)
		}
		for _, input := range inputs {
			text, err := os.ReadFile(input)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	path := filepath.Join(f.TempDir(), "fuzz.md")
	f.Fuzz(func(t *testing.T, text []byte) {
		snapshot := loadText(t, path, append(text, "\n---\n"...))
		checkProblems(t, snapshot)
		checkLegacyMarker(t, path, text)
		one := importOne(t, "my-agent:1", path)
		for _, b := range snapshot.Bottles {
			if one.Manifest == nil {
				t.Fatalf("a bottle, but no manifest: %v", one.Problems)
			}
			b.Spec.Agent.Image = "my-agent:1"
			again := loadText(t, path+".yaml", one.Manifest)
			if len(again.Problems) > 0 || len(again.Bottles) != 1 {
				t.Fatalf("the manifest: %v\n%s", again.Problems, one.Manifest)
			}
			again.Bottles[0].Source = b.Source
			if diff := cmp.Diff(b, again.Bottles[0], cmpEmpty); diff != "" {
				t.Errorf("-file +manifest:\n%s\n%s", diff, one.Manifest)
			}
		}
	})
}

// checkLegacyMarker puts the text and a marker where the name of a token is expected, and looks for the marker in the problems.
func checkLegacyMarker(t *testing.T, path string, text []byte) {
	t.Helper()
	for _, token := range []string{marker, marker + string(text), string(text) + marker} {
		token = strings.ReplaceAll(token, "\n", "\n ")
		front := "---\ncred_proxy: {routes: [{path: /a/, upstream: https://a.example.com, token_ref:\n " + token + " }]}\n---\n"
		for _, p := range loadText(t, path, []byte(front)).Problems {
			if strings.HasPrefix(p.Field, "cred_proxy.routes[0]") && strings.Contains(p.Error(), marker) {
				t.Errorf("a problem shows the token: %s", p)
			}
		}
	}
	if err := os.WriteFile(path, append(text, "\n---\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
}
