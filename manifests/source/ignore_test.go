package source

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIgnoreFile(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		paths []string
		want  []string
	}{
		"patterns": {
			files: map[string]string{
				".bottledignore": "# of others\n\nchart/\n*.tpl.yaml\r\n/top.yaml\n!keep.tpl.yaml\n", "chart/x.yaml": "{{ broken", "sub/chart/x.yaml": "{{ broken", "a.tpl.yaml": "{{",
				"keep.tpl.yaml": bottle("keep"), "top.yaml": "{{", "sub/top.yaml": bottle("top"), "chart.yaml": bottle("chart"),
			},
			paths: []string{"./"}, want: []string{"chart", "keep", "top"},
		},
		"in a directory below": {
			files: map[string]string{"sub/.bottledignore": "x.yaml\n/y.yaml", "sub/x.yaml": "{{", "sub/deep/x.yaml": "{{", "sub/y.yaml": "{{", "sub/deep/y.yaml": bottle("why"), "x.yaml": bottle("x")},
			want:  []string{"why", "x"},
		},
		"the nearer one decides": {
			files: map[string]string{".bottledignore": "*.yaml\n", "sub/.bottledignore": "!*.yaml\n", "a.yaml": "{{", "sub/b.yaml": bottle("b")},
			want:  []string{"b"},
		},
		"links": {
			files: map[string]string{".bottledignore": "l.yaml\ngone.yaml\ndir\n", "l.yaml": "->other", "other": "{{", "gone.yaml": "->nowhere", "dir": "->.hidden", ".hidden/x.yaml": "{{", "a.yaml": bottle("a")},
			want:  []string{"a"},
		},
		"of a ConfigMap": {
			files: map[string]string{"..1/ignore": "x.yaml\n", "..data": "->..1", ".bottledignore": "->..data/ignore", "x.yaml": "{{", "a.yaml": bottle("a")},
			want:  []string{"a"},
		},
		"what is given counts all the same": {
			files: map[string]string{"d/.bottledignore": "*\n", "d/a.yaml": bottle("a"), "d/b.yaml": "{{"}, paths: []string{"d", "d/a.yaml"},
			want: []string{"a"},
		},
		"can't be read": {
			files: map[string]string{".bottledignore/x": "", "a.yaml": bottle("a"), "b/.bottledignore": "->nowhere", "c/.bottledignore": strings.Repeat("#", maxIgnoreSize+1)},
			want: []string{
				"a", "./.bottledignore: it can't be read: it is not a regular file", "./b/.bottledignore: it can't be read: no such file or directory",
				"./c/.bottledignore: it can't be read: it is larger than 64 KiB",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree(t, c.files)
			if c.paths == nil {
				c.paths = []string{"."}
			}
			s, err := Load(c.paths...)
			must(t, err)
			if diff := cmp.Diff(c.want, summary(s)); diff != "" || len(s.Foreign) > 0 {
				t.Errorf("%v -want +got:\n%s", s.Foreign, diff)
			}
		})
	}
}

// TestIgnoreFileIsSuggested for what is no YAML and does not speak of bottled.
func TestIgnoreFileIsSuggested(t *testing.T) {
	tree(t, map[string]string{"chart.yaml": "{{ if x }}\na: b\n", "bottle.yaml": bottle("a") + "---\n[\n"})
	s, err := Load(".")
	must(t, err)
	for i, suggested := range []bool{false, true} {
		if p := s.Problems[i]; strings.Contains(p.Fix, "list this file in .bottledignore") != suggested {
			t.Error(p)
		}
	}
}

// TestAgentIgnoresNothing: an ignore file that an agent can write, through a link, is a problem.
func TestAgentIgnoresNothing(t *testing.T) {
	tree(t, map[string]string{"m/a.yaml": mounts("a", "../work:/work"), "work/ignore": "b.yaml\n", "m/.bottledignore": "->../work/ignore", "m/b.yaml": bottle("b")})
	if got := load(t, Known{}, "m"); len(got) != 3 || got[1] != "b" || !strings.Contains(got[2], "m/.bottledignore: it can't be read") {
		t.Errorf("beside its own manifest: %q", got)
	}
	tree(t, map[string]string{"m/a.yaml": mounts("a", "../work:/work"), "work/ignore": "b.yaml\n", "m/sub/.bottledignore": "->../../work/ignore", "m/sub/b.yaml": bottle("b")})
	got := load(t, Known{}, "m")
	if len(got) != 3 || got[0] != "a" || got[1] != "b" || !strings.Contains(got[2], "m/sub/.bottledignore: it can't be read: the agent of bottle a can write it") {
		t.Errorf("%q", got)
	}
}

func TestWatchIgnoreFile(t *testing.T) {
	root := grow(t, map[string]string{"r/a.yaml": bottle("a"), "r/sub/b.yaml": bottle("b"), "i/ignore": "sub/\n"})
	at := func(path string) string { return root + "/" + path }
	w := startWatching(t, at("r"))
	w.expectAll([]act{
		{"appears", true, write("r/.bottledignore", "sub/\n")},
		{"in what is ignored", false, write("r/sub/b.yaml", version("b", "2"))},
		{"edited", true, write("r/.bottledignore", "#\n")},
		{"in what was ignored", true, write("r/sub/b.yaml", version("b", "3"))},
		{"a link", true, inTurn(unlink("r/.bottledignore"), write("r/.bottledignore", "->../i/ignore"))},
		{"in what is ignored", false, write("r/sub/b.yaml", version("b", "4"))},
		{"edited where the link leads", true, write("i/ignore", "#\n")},
		{"in what was ignored", true, write("r/sub/b.yaml", version("b", "5"))},
	}, at)
	must(t, os.Remove(at("r/.bottledignore")))
	w.expect("removed")
	w.expectWarnings()
}
