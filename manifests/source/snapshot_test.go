package source

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSlugsOfProblems(t *testing.T) {
	const header = "apiVersion: bottled/v1alpha1\nkind: Bottle\n"
	cases := []struct {
		name    string
		file    string
		invalid []string
		unknown int // problems
	}{
		{"valid", bottle("a"), nil, 0},
		{"a fault elsewhere", header + "metadata: {name: a}\nspec: {supervise: 1}\n", []string{"a"}, 0},
		{"a fault before the name", "kind: Bottle\nmetadata: {x: 1, name: a}\n", []string{"a"}, 0},
		{"a name that could be a slip for any", header + "metadata: {name: A}\nspec: {}\n", nil, 1},
		{"a name that is a number", header + "metadata: {name: 1}\nspec: {}\n", nil, 1},
		{"two names", header + "metadata: {name: a, name: b}\nspec: {}\n", nil, 1},
		{"two metadata", header + "metadata: {name: a}\nspec: {}\nmetadata: {name: a}\n", nil, 1},
		{"no name", header + "metadata: {}\nspec: {}\n", nil, 1},
		{"not YAML", "metadata: {name: a", nil, 1},
		{"not YAML after a good document", bottle("a") + "---\n{", nil, 1},
		{"an alias for a name", header + "metadata: {labels: {x: &n a}, name: *n}\nspec: {}\n", nil, 2},
		{"the same name twice", bottle("a") + "---\n" + bottle("a"), []string{"a"}, 0},
		{"the same name, once in a foreign document", bottle("a") + "---\nkind: Service\nmetadata: {name: a}\n", nil, 0},
		{"several", header + "metadata: {name: b}\n---\n" + bottle("a") + "---\n" + header + "metadata: {name: c}\n---\nx\n", []string{"b", "c"}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree(t, map[string]string{"x.yaml": c.file})
			snapshot, err := Load(".")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.invalid, slices.Sorted(maps.Keys(snapshot.InvalidSlugs()))); diff != "" {
				t.Errorf("invalid (-want +got):\n%s", diff)
			}
			unknown := snapshot.UnknownDocuments()
			if len(unknown) != c.unknown {
				t.Errorf("unknown: %v, want %d", unknown, c.unknown)
			}
			for _, p := range unknown {
				if p.Slug != "" || p.Line < 1 {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

func TestDuplicatesNameTheOtherPlaces(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		files[name+".yaml"] = bottle("same")
	}
	tree(t, files)
	snapshot, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`./a.yaml: bottle "same" is declared in ./b.yaml:3, ./c.yaml:3, ./d.yaml:3, 2 more places too`,
		`./b.yaml: bottle "same" is declared in ./a.yaml:3, ./c.yaml:3, ./d.yaml:3, 2 more places too`,
		`./c.yaml: bottle "same" is declared in ./a.yaml:3, ./b.yaml:3, ./d.yaml:3, 2 more places too`,
		`./d.yaml: bottle "same" is declared in ./a.yaml:3, ./b.yaml:3, ./c.yaml:3, 2 more places too`,
		`./e.yaml: bottle "same" is declared in ./a.yaml:3, ./b.yaml:3, ./c.yaml:3, 2 more places too`,
		`./f.yaml: bottle "same" is declared in ./a.yaml:3, ./b.yaml:3, ./c.yaml:3, 2 more places too`,
	}
	if diff := cmp.Diff(want, summary(snapshot)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
