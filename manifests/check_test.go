package manifests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckAcceptsWhatLoadGives(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no good manifests: %v", err)
	}
	checked := 0
	for _, path := range files {
		snapshot, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range snapshot.Bottles {
			checked++
			if problems, err := Check(b); err != nil || len(problems) > 0 {
				t.Errorf("%s: %v %v", path, err, problems)
			}
		}
	}
	if checked == 0 {
		t.Fatal("nothing was checked")
	}
}

// TestCheckSpeaksAsLoad compares reasons and fixes with those for the same values in a file.
func TestCheckSpeaksAsLoad(t *testing.T) {
	token := SecretRef{Env: "TOKEN"}
	bottle := func(spec Spec) Bottle {
		return Bottle{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "a"}, Spec: spec}
	}
	routes := func(routes ...Route) Bottle { return bottle(Spec{CredProxy: &CredProxy{Routes: routes}}) }
	const head = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: a}\n"
	tests := map[string]struct {
		bottle Bottle
		text   string
		want   int
	}{
		"host": {
			bottle(Spec{Egress: Egress{Allowlist: []string{"https://a.example/x", "*", "10.0.0.1", "bücher.example", "supervise"}}}),
			"spec:\n  egress:\n    allowlist: ['https://a.example/x', '*', 10.0.0.1, bücher.example, supervise]\n", 5,
		},
		"route": {
			routes(Route{Path: "/a/../", Upstream: "http://u:p@a.example?x#y", AuthScheme: "two words", Token: token, Roles: []Role{"admin"}}),
			"spec:\n  credProxy:\n    routes:\n    - {path: /a/../, upstream: 'http://u:p@a.example?x#y', authScheme: two words, token: {env: TOKEN}, roles: [admin]}\n", 6,
		},
		"routes": {
			routes(Route{Path: "/a/", Upstream: "https://a.example", Token: token}, Route{Path: "/a/b/", Upstream: "https://b.example", Token: token}),
			"spec:\n  credProxy:\n    routes:\n    - {path: /a/, upstream: 'https://a.example', token: {env: TOKEN}}\n    - {path: /a/b/, upstream: 'https://b.example', token: {env: TOKEN}}\n", 1,
		},
		"token in a path": {
			routes(Route{Path: "/ghp_" + strings.Repeat("a", 36) + "/", Upstream: "https://a.example", Token: token}),
			"spec:\n  credProxy:\n    routes:\n    - {path: /ghp_" + strings.Repeat("a", 36) + "/, upstream: 'https://a.example', token: {env: TOKEN}}\n", 1,
		},
		"control characters": {
			routes(Route{Path: "/a\x7f\u0085\u2028<&>/", Upstream: "https://a.example", Token: token}),
			"spec:\n  credProxy:\n    routes:\n    - {path: \"/a\\x7f\\x85\\u2028<&>/\", upstream: 'https://a.example', token: {env: TOKEN}}\n", 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Check(test.bottle)
			if err != nil {
				t.Fatal(err)
			}
			documents, want := parse(file{}, []byte(head+test.text))
			for _, d := range documents {
				want = append(want, d.result()...)
			}
			if len(want) != test.want {
				t.Errorf("the file has %d problems; want %d: %v", len(want), test.want, want)
			}
			if diff := cmp.Diff(words(want), words(got)); diff != "" {
				t.Errorf("problems (-file +Check):\n%s", diff)
			}
		})
	}
}

func words(problems []Problem) map[string]bool {
	all := map[string]bool{}
	for _, p := range problems {
		all[p.Field+": "+p.Reason+"; "+p.Fix] = true
	}
	return all
}
