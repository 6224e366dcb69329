package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// supervised is a claude-bottle file.
const supervised = "---\nsupervise: true\n---\n"

// TestMarkdown distinguishes bottles from other Markdown.
func TestMarkdown(t *testing.T) {
	large := strings.Repeat("Much text.\n", 2*parse.MaxFileSize/11)
	cases := []listing{
		{
			name: "other Markdown",
			files: map[string]string{
				"README.md": "# About\n\n---\nsupervise: true\n---\n", "empty.md": "", "post.md": "---\ntitle: \"About\"\n---\n", "dashes.md": "---\nText.\n\n---\n",
				"one.md": "---\n\nText about dashes.\n", "list.md": "---\n- supervise\n---\n", "text.md": "---\nenv\n---\n", "none.md": "---\n---\nenv: {}\n", "broken.md": "---\ntitle: [\n---\n",
				"bytes.md": "---\n\xff\x00\n---\n\xff", "nested.md": "---\nspec: {env: {}, supervise: true}\n---\n", "large.md": large, "large-front.md": "---\n" + large,
				"agent.md": "---\nbottle: dev\nskills: [review]\nenv: {A: b}\n---\nYou are an agent.\n", "skill.md": "---\nname: review\nskills: []\nenv: {}\n---\n",
			},
		},
		{
			name: "bottles",
			files: map[string]string{
				"env.md": "---\nenv: {A: b}\n---\n", "egress.md": "---\negress: {}\n---", "proxy.md": "---\ncred_proxy: {routes: [{path: a, upstream: 'https://a.example.com', token_ref: A}]}\n---\n",
				"upper.MD": supervised, "blank.md": "\n\n" + supervised, "licence.md": "<!-- SPDX:\n MIT -->\n<!-- x -->\n\n" + supervised, "supervise.md": "---\r\n{\"supervise\": true}\r\n--- \r\n", "sub/bytes.md": "\ufeff" + supervised + "\xff\x00", "large.md": supervised + large, "again.md": supervised + supervised + "---\n",
			},
			want: []string{"again", "blank", "bytes", "egress", "env", "large", "licence", "proxy", "supervise", "upper"}, count: 10,
		},
		{
			name: "which may be bottles",
			files: map[string]string{
				"a.md": "---\nsupervise: [\n---\n", "b.md": "---\nenv: {}\n", "c.md": "---\n{\"egress\": [}\n---\n", "d.md": "---\ncred_proxy: \xff\n---\n", "e.md": "---\nbottle: dev\negress: {}\n---\n",
				"f.md": "->nowhere", "g.md": "---\nSupervise: true\n---\n", "h.md": "<!-- x -->\n\n---\nsupervise: [\n",
			},
			want: []string{
				"./a.md: it is not YAML: did not find expected node content", "./b.md: the front matter does not end", "./c.md: it is not YAML: did not find expected node content",
				"./d.md: byte 0xff is not UTF-8", "./e.md: unknown key: it has no equivalent in bottled", "./f.md: the symlink leads nowhere: no such file or directory",
				"./g.md: unknown key: it has no equivalent in bottled", "./h.md: the front matter does not end",
			},
			count: 7,
		},
		{
			name:  "given, and no bottle",
			files: map[string]string{"README.md": "# About\n", "dev.md": supervised},
			paths: []string{".", "README.md", "dev.md"},
			want:  []string{"dev", "README.md: it is no bottle of claude-bottle"}, count: 2,
		},
		{
			name: "the name is the link's, so that two names are two bottles",
			files: map[string]string{
				"..1/dev.md": supervised, "..data": "->..1", "dev.md": "->..data/dev.md", "ops.md": "->..data/dev.md", "z/dev.md": "->../dev.md", "y": "->z", ".store/xyz": supervised, "web.md": "->.store/xyz",
			},
			want: []string{"dev", "ops", "web"}, count: 3,
		},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

// TestLegacyIsLeftAlone: whatever is wrong in the file, it is known which bottle it is about.
func TestLegacyIsLeftAlone(t *testing.T) {
	tree(t, map[string]string{
		"syntax.md": "---\nsupervise: [\n---\n", "open.md": "---\nsupervise: true\n", "bytes.md": "---\nsupervise: \xff\n---\n", "two.md": "---\nenv: {}\n--- {}\n---\n", "value.md": "---\nsupervise: 1\n---\n",
	})
	snapshot, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"syntax": true, "open": true, "bytes": true, "two": true, "value": true}
	if diff := cmp.Diff(want, snapshot.InvalidSlugs()); diff != "" {
		t.Errorf("invalid bottles (-want +got):\n%s", diff)
	}
	if unknown := snapshot.UnknownDocuments(); len(unknown) > 0 {
		t.Errorf("any bottle may hide behind %v", unknown)
	}
}

func TestSpell(t *testing.T) {
	legacy, manifest := v1alpha1.Source{Path: "/b/dev.md"}, v1alpha1.Source{Path: "/b/dev.yaml"}
	for field, want := range map[string]string{
		"spec.credProxy.routes[0].token": "cred_proxy.routes[0].token_ref", "spec.egress.allowlist[1]": "egress.allowlist[1]", "spec.agent.env": "env", `spec.agent.env["A.token"]`: `env["A.token"]`,
		"spec.supervise": "supervise", "spec.egress.dlpAction": "egress.dlp_action", "metadata.name": "(file name)", "(document)": "(document)",
	} {
		if got := legacy.Spell(field); got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
		if got := manifest.Spell(field); got != field {
			t.Errorf("%s in a manifest: %s", field, got)
		}
	}
}

// TestLegacyProblemsAreInItsWords looks for the words of manifests in what is said about claude-bottle's files.
func TestLegacyProblemsAreInItsWords(t *testing.T) {
	goldens, err := filepath.Glob("../testdata/bad/legacy-*.golden")
	if err != nil || len(goldens) < 15 {
		t.Fatal(goldens, err)
	}
	for _, golden := range goldens {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			about := strings.SplitN(string(line), ": ", 3)
			if !strings.Contains(about[0], ".md:") {
				continue
			}
			for _, word := range []string{"spec.", "metadata", "credProxy", "authScheme", "dlpAction", "token:"} {
				if strings.Contains(about[1], word) || !strings.Contains(about[2], "manifest") && !strings.Contains(about[2], "can write this file") && strings.Contains(about[2], word) {
					t.Errorf("%s in %s", word, line)
				}
			}
		}
	}
}
