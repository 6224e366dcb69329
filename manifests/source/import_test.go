package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/manifests/parse"
)

// TestImport compares the manifests made of testdata/legacy/*.md, with what is said about them, with *.golden. Each is
// valid, and declares the same bottle.
func TestImport(t *testing.T) {
	t.Chdir("../testdata/legacy")
	inputs, err := filepath.Glob("*.md")
	if err != nil || len(inputs) < 5 {
		t.Fatal(inputs, err)
	}
	for _, input := range inputs {
		for image, suffix := range map[string]string{"": ".golden", "my-agent:1": ".agent.golden"} {
			path := strings.TrimSuffix(input, ".md") + suffix
			t.Run(path, func(t *testing.T) {
				one := importOne(t, image, input)
				golden.Check(t, path, string(one.Manifest)+lines(one.Problems))
				checkImported(t, one, image, input)
			})
		}
	}
}

func importOne(t *testing.T, image, path string) Imported {
	t.Helper()
	all, err := Import(image, path)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

func lines(problems []parse.Problem) string {
	var text strings.Builder
	for _, p := range problems {
		text.WriteString("stderr: " + p.Error() + "\n")
	}
	return text.String()
}

// checkImported loads a manifest that was made of a file, and, when nothing was lost, compares with the file.
func checkImported(t *testing.T, one Imported, image, path string) {
	t.Helper()
	manifest := filepath.Join(t.TempDir(), "imported.yaml")
	if err := os.WriteFile(manifest, one.Manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	got := loadOne(t, manifest)
	if len(one.Problems) > 0 {
		return
	}
	want := loadOne(t, path)
	got.Source = want.Source
	if want.Spec.Agent.Image = image; image == "" {
		want.Spec.Agent = nil
	}
	if diff := cmp.Diff(want, got, cmpEmpty); diff != "" {
		t.Errorf("-file +manifest made of it:\n%s", diff)
	}
}

// TestImportOfMany reads whatever the paths lead to.
func TestImportOfMany(t *testing.T) {
	tree(t, map[string]string{
		"a/dev.md": supervised, "a/README.md": "# About\n", "a/ops.yaml": bottle("ops"), "a/bad.md": "---\negress: {allowlist: ['*']}\n---\n",
		"b/dev.md": supervised, "b/gone.md": "->nowhere",
	})
	cases := []struct {
		paths []string
		want  string // for each file, the names of what was made, and the problems
	}{
		{[]string{"a"}, "- bad.md: * would allow every host\ndev\n"},
		{[]string{"a/dev.md", "a/ops.yaml"}, "dev\n- ops.yaml: it is no bottle of claude-bottle: its name does not end in .md\n"},
		{[]string{"a/README.md"}, "- README.md: it is no bottle of claude-bottle\n"},
		{[]string{"b"}, "dev\n- gone.md: the symlink leads nowhere: no such file or directory\n"},
		{[]string{"a/dev.md", "b/dev.md"}, `- dev.md: bottle "dev" is declared in b/dev.md:1 too` + "\n" + `- dev.md: bottle "dev" is declared in a/dev.md:1 too` + "\n"},
	}
	for _, c := range cases {
		all, err := Import("", c.paths...)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, one := range all {
			name := "-"
			if _, after, made := strings.Cut(string(one.Manifest), "name: "); made {
				name, _, _ = strings.Cut(after, "\n")
			}
			got.WriteString(name)
			for _, p := range one.Problems {
				got.WriteString(" " + filepath.Base(p.File) + ": " + p.Reason)
			}
			got.WriteString("\n")
		}
		if diff := cmp.Diff(c.want, got.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.paths, diff)
		}
	}
	if all, err := Import("", "c"); err == nil {
		t.Error("a path that is missing:", all)
	}
}
