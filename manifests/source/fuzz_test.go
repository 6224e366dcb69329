package source

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// marker is a secret that no problem may show. It has no shape that secretKind knows.
const marker = "hunter2-MARKER-9c1f"

// FuzzLoad feeds Load with any text, plain and inside of a token.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"../testdata/good/*", "../testdata/bad/*.yaml", "../testdata/bad/*.json"} {
		inputs, err := filepath.Glob(pattern)
		if err != nil || len(inputs) == 0 {
			f.Fatal(pattern, err)
		}
		for _, input := range inputs {
			text, err := os.ReadFile(input)
			if err != nil {
				f.Fatal(err)
			}
			if len(text) < 4096 { // larger ones take the fuzzer minutes to make smaller
				f.Add(text)
			}
		}
	}
	for _, token := range []string{marker, `"` + marker + `"`, "[" + marker + "]", "{" + marker + ": x}", "{env: " + marker + "}", "{file: ~" + marker + "}", "*" + marker, "&" + marker + " x", "!" + marker + " x"} {
		f.Add([]byte(withToken(token)))
	}
	schema := compileSchema(f)
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		snapshot := loadText(t, path, text)
		checkProblems(t, snapshot)
		checkNoMarker(t, path, text)
		for _, b := range snapshot.Bottles {
			checkAgain(t, path, b)
			document, err := sigsyaml.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := validates(t, schema, string(document)); err != nil {
				t.Errorf("valid, but does not fit the schema: %v\n%s", err, document)
			}
		}
		if len(snapshot.Bottles) == 1 && snapshot.Documents == 1 {
			checkSameMeaning(t, text, snapshot.Bottles[0])
		}
	})
}

func loadText(t *testing.T, path string, text []byte) Snapshot {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func checkProblems(t *testing.T, snapshot Snapshot) {
	t.Helper()
	if snapshot.Documents > len(snapshot.Bottles) && len(snapshot.Problems) == 0 {
		t.Errorf("%d documents, %d bottles and no problem", snapshot.Documents, len(snapshot.Bottles))
	}
	for _, p := range snapshot.Problems {
		if p.File == "" || p.Line < 1 || p.Column < 1 || p.Field == "" || p.Reason == "" || p.Fix == "" || strings.ContainsAny(p.Error(), "\n\r\x00\x1b") {
			t.Errorf("%q", p.Error())
		}
	}
}

// withToken is a manifest in which any text stands where the token is expected.
func withToken(token string) string {
	return "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: a}\nspec: {credProxy: {routes: [{path: /a/, upstream: https://a.example.com, token:\n " + token + " }]}}\n"
}

// checkNoMarker puts the marker into the text, puts that where a token is expected, and looks for it in
// the problems.
func checkNoMarker(t *testing.T, path string, text []byte) {
	t.Helper()
	half := len(text) / 2
	for _, token := range []string{string(text[:half]) + marker + string(text[half:]), marker + string(text), string(text) + marker} {
		token = strings.ReplaceAll(token, "\n", "\n ") // stays in its place, mostly
		for _, p := range loadText(t, path, []byte(withToken(token))).Problems {
			if aboutToken.MatchString(p.Field) && strings.Contains(p.Error(), marker) {
				t.Errorf("a problem shows the token: %s", p)
			}
		}
	}
}

// aboutToken are the fields of problems about the token, or about a key that is none of the route's.
var aboutToken = regexp.MustCompile(`^spec\.credProxy\.routes\[0\](\.token.*|\[.*)?$`)

// checkAgain writes a valid bottle and loads it again.
func checkAgain(t *testing.T, path string, b v1alpha1.Bottle) {
	t.Helper()
	text, err := sigsyaml.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	again := loadText(t, path, text)
	if len(again.Problems) > 0 || len(again.Bottles) != 1 {
		t.Fatalf("written and loaded again: %v\n%s", again.Problems, text)
	}
	again.Bottles[0].Source = b.Source
	if diff := cmp.Diff(b, again.Bottles[0], cmpEmpty); diff != "" {
		t.Errorf("written and loaded again (-before +after):\n%s\n%s", diff, text)
	}
}

// cmpEmpty takes empty lists and maps for missing ones, as omitempty does.
var cmpEmpty = cmp.Options{
	cmp.FilterValues(func(a, b map[string]string) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b []route.Role) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b []v1alpha1.Mount) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
}

// checkSameMeaning compares with kubectl's YAML library, which is of YAML 1.1 and has its own parser:
// where it can read the text at all, it must read the same.
func checkSameMeaning(t *testing.T, text []byte, b v1alpha1.Bottle) {
	t.Helper()
	var read v1alpha1.Bottle
	if err := sigsyaml.UnmarshalStrict(text, &read); err != nil || read.Kind == "" {
		return
	}
	read.Source = b.Source
	rules.Complete(&read)
	if diff := cmp.Diff(read, b, cmpEmpty); diff != "" {
		t.Errorf("sigs.k8s.io/yaml reads it otherwise (-sigs +ours):\n%s", diff)
	}
}
