package source

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/parse"
)

const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME}\nspec: {replicas: 1}\n"

// TestBottleIsNotLostByLooks changes the file of a bottle that was declared, in ways that leave it there.
func TestBottleIsNotLostByLooks(t *testing.T) {
	const lost = `bottle "a" was declared here, but the file no longer declares it`
	write := func(text string) func(t *testing.T) { return func(t *testing.T) { t.Helper(); put(t, "a.yaml", text) } }
	for name, c := range map[string]struct {
		file, text string // before
		change     func(t *testing.T)
		want       []string
		kept       bool // a is not to be removed
	}{
		"removed":                  {"a.yaml", bottle("a"), remove("a.yaml"), nil, false},
		"renamed to no manifest":   {"a.yaml", bottle("a"), rename("a.yaml", "a.yaml.off"), nil, false},
		"another bottle":           {"a.yaml", bottle("a"), write(bottle("b")), []string{"b"}, false},
		"one of several removed":   {"a.yaml", bottle("a") + "---\n" + bottle("b"), write(bottle("b")), []string{"b"}, false},
		"another bottle, faulty":   {"a.yaml", bottle("a"), write(faultyBottle("b")), []string{"a.yaml: " + lost, "a.yaml: unknown key"}, true},
		"emptied":                  {"a.yaml", bottle("a"), write(""), []string{"a.yaml: " + lost}, true},
		"commented out":            {"a.yaml", bottle("a"), write("# " + strings.ReplaceAll(bottle("a"), "\n", "\n# ")), []string{"a.yaml: " + lost}, true},
		"a Deployment":             {"a.yaml", bottle("a"), write(strings.ReplaceAll(deployment, "NAME", "web")), []string{"a.yaml: " + lost}, true},
		"the bottle's name, still": {"a.yaml", bottle("a") + "---\n" + bottle("b"), write(bottle("b") + "---\n" + strings.ReplaceAll(deployment, "NAME", "a")), []string{"b", `a.yaml: no kind "Deployment" is known in version "apps/v1"`}, true},
		"without header":           {"a.yaml", bottle("a"), write("metadata: {name: a}\nspec: {}\n"), []string{"a.yaml: it is missing, or given twice", "a.yaml: it is missing, or given twice"}, true},
		"another case":             {"a.yaml", bottle("a"), rename("a.yaml", "a.YAML"), []string{"a"}, true},
		"another case, Markdown":   {"a.md", supervised, rename("a.md", "a.Md"), []string{"a"}, true},
		"a line above":             {"a.md", supervised, func(t *testing.T) { t.Helper(); put(t, "a.md", "<!-- x -->\n\n"+supervised) }, []string{"a"}, true},
		"a key renamed":            {"a.md", supervised, func(t *testing.T) { t.Helper(); put(t, "a.md", strings.Replace(supervised, "s", "S", 1)) }, []string{"a.md: unknown key: it has no equivalent in bottled"}, true},
		"text above":               {"a.md", supervised, func(t *testing.T) { t.Helper(); put(t, "a.md", "About.\n"+supervised) }, []string{"a.md: " + lost}, true},
		"moved":                    {"a.yaml", bottle("a"), func(t *testing.T) { t.Helper(); put(t, "b.yaml", bottle("a")); put(t, "a.yaml", "") }, []string{"a"}, true},
		"ignored":                  {"a.yaml", bottle("a"), func(t *testing.T) { t.Helper(); put(t, ".bottledignore", "*.yaml\n") }, []string{`a.yaml: bottle "a" was declared here, but a .bottledignore now excludes it`}, true},
		"ignored with its directory": {
			"sub/a.yaml", bottle("a"), func(t *testing.T) { t.Helper(); put(t, ".bottledignore", "/sub/\n") },
			[]string{`sub: bottle "a" was declared here, but a .bottledignore now excludes it`},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree(t, map[string]string{"d/" + c.file: c.text})
			must(t, os.Chdir("d"))
			now := time.Now().Add(time.Hour)
			r := Reader{Paths: []string{"."}, Now: func() time.Time { return now }}
			_, _, err := r.Read()
			must(t, err)
			c.change(t)
			for range 3 { // it stays so, and is not forgotten meanwhile
				now = now.Add(time.Hour)
				_, _, err := r.Read()
				must(t, err)
				now = now.Add(grace)
				s, _, err := r.Read()
				must(t, err)
				var got []string
				for _, line := range summary(s) {
					got = append(got, strings.TrimPrefix(line, "./"))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Fatalf("-want +got:\n%s", diff)
				}
				if kept := s.mentioned()["a"]; kept != c.kept || len(s.UnknownDocuments()) > 0 {
					t.Errorf("kept is %t; of unknown bottles: %v", kept, s.UnknownDocuments())
				}
			}
		})
	}
}

// TestBottleIsNotLostByAnotherPath: the same directory was given through a link before.
func TestBottleIsNotLostByAnotherPath(t *testing.T) {
	tree(t, map[string]string{"d/a.yaml": bottle("a"), "link": "->d"})
	before, err := Load("link")
	must(t, err)
	put(t, "d/a.yaml", "")
	s, err := LoadKnowing(Known{Sources: map[string]string{"a": before.Bottles[0].Source.Path}}, "d")
	must(t, err)
	if !s.InvalidSlugs()["a"] {
		t.Errorf("it would be removed: %v", s.Problems)
	}
}

// TestForeignFilesBlockNothing: they are named once, and any bottle may be removed beside them.
func TestForeignFilesBlockNothing(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		want    []string
		foreign []string
	}{
		"of others": {
			map[string]string{
				"a.yaml": bottle("a"), "compose.yaml": "services: {web: {image: nginx}}\n", "agent/package.json": `{"name": "x", "scripts": {}}`, "list.json": "[1, 2]", "text.yml": "text",
				"mkdocs.yml": "markdown_extensions:\n  - x: !!python/name:pymdownx.emoji.twemoji\n", "k8s/all.yaml": deployment + "---\n" + deployment,
				"k8s/list.yaml": "apiVersion: v1\nkind: List\nitems: []\n", "lock.yaml": "lockfileVersion: 9\n" + strings.Repeat("a: b\n", parse.MaxFileSize/5), "README.md": "# x",
			},
			[]string{"a"},
			[]string{"./agent/package.json", "./compose.yaml", "./k8s/all.yaml", "./k8s/list.yaml", "./list.json", "./lock.yaml", "./mkdocs.yml", "./text.yml"},
		},
		"between bottles": {
			map[string]string{"a.yaml": bottle("a") + "---\n" + deployment + "---\n" + bottle("b")}, []string{"a", "b"}, nil,
		},
		"of bottled, with mistakes": {
			map[string]string{
				"group.yaml": strings.Replace(bottle("group"), "bottled/", "botled/", 1), "kind.yaml": strings.Replace(bottle("kind"), "Bottle\n", "Bottel\n", 1),
				"both.yaml": strings.NewReplacer("bottled/", "botled/", "Bottle\n", "Bottel\n").Replace(bottle("both")), "header.yaml": "metadata: {name: header}\nspec: {}\n",
				"large.yaml": bottle("large") + strings.Repeat("# x\n", parse.MaxFileSize/4), "some.yaml": bottle("some") + "---\nspec: {}\n",
			},
			[]string{
				"some", `./both.yaml: no kind "Bottel" is known in version "botled/v1alpha1"`, `./group.yaml: no kind "Bottle" is known in version "botled/v1alpha1"`,
				"./header.yaml: it is missing, or given twice", "./header.yaml: it is missing, or given twice", `./kind.yaml: no kind "Bottel" is known in version "bottled/v1alpha1"`,
				"./large.yaml: it is larger than 1024 KiB", "./some.yaml: it is missing, or given twice", "./some.yaml: it is missing, or given twice",
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree(t, c.files)
			s, err := Load(".")
			must(t, err)
			if diff := cmp.Diff(c.want, summary(s)) + cmp.Diff(c.foreign, s.Foreign); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestForeignNotice(t *testing.T) {
	s := Snapshot{Foreign: []string{"1", "2", "3", "4", "5", "6", "7"}}
	want := "ignored because they are not bottled manifests: 1, 2, 3, 4, 5 and 2 more (list them in .bottledignore to silence this)"
	if got := s.Notices(); len(got) != 1 || got[0] != want {
		t.Error(got)
	}
}
