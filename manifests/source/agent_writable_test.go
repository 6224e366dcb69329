package source

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mounting is the bottle a, whose agent gets a mount.
func mounting(source, readOnly string) string {
	return strings.NewReplacer("SOURCE", source, "READONLY", readOnly).Replace(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: a}
spec: {agent: {image: agent, mounts: [{source: SOURCE, target: /work, readOnly: READONLY}]}}
`)
}

// building is a bottle whose agent is built.
func building(name, context string) string {
	return strings.NewReplacer("NAME", name, "CONTEXT", context).Replace(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: NAME}
spec: {agent: {build: {context: CONTEXT}}}
`)
}

const writes = ": the agent of bottle a can write it, through spec.agent.mounts[0] (./a.yaml:1)"

var writableCases = []struct {
	name  string
	files map[string]string
	want  []string
}{
	{
		name:  "a work directory among the manifests, with all sorts of files",
		files: map[string]string{"a.yaml": mounting("./work", "false"), "work/k8s/deployment.yaml": "kind: Deployment", "work/broken.yaml": "{", "work/link.yaml": "->nowhere", "work/dir": "->nowhere"},
		want:  []string{"a", "unread: ./work"},
	},
	{
		name:  "a bottle that an agent declares",
		files: map[string]string{"a.yaml": mounting("./work", "false"), "work/evil.yaml": bottle("evil")},
		want:  []string{"a", "unread: ./work"},
	},
	{
		name:  "an agent's bottle with the name of a good one leaves that alone",
		files: map[string]string{"a.yaml": mounting("work", "false"), "work/b.yaml": bottle("b"), "b.yaml": bottle("b")},
		want:  []string{"a", "b", "unread: ./work"},
	},
	{
		name:  "an agent that could rewrite its own manifest",
		files: map[string]string{"a.yaml": mounting(".", "false"), "sub/b.yaml": bottle("b")},
		want:  []string{"b", "./a.yaml" + writes},
	},
	{
		name:  "a mount that can't be written is no danger",
		files: map[string]string{"a.yaml": mounting(".", "true"), "sub/b.yaml": bottle("b")},
		want:  []string{"a", "b"},
	},
	{
		name:  "through symlinks in both directions",
		files: map[string]string{"a.yaml": mounting("link", "false"), "link": "->.work", ".work/b.yaml": bottle("b"), "z.yaml": "->.work/b.yaml", "y": "->.work"},
		want:  []string{"a", "unread: ./link", "unread: ./z.yaml"},
	},
	{
		name:  "a name with the same beginning is outside",
		files: map[string]string{"a.yaml": mounting("./work", "false"), "work.yaml": bottle("b"), "workshop/c.yaml": bottle("c")},
		want:  []string{"a", "b", "c"},
	},
	{
		name:  "a mount that is refused harms no other bottle",
		files: map[string]string{"a.yaml": mounting("/", "false"), "b.yaml": bottle("b")},
		want:  []string{"b", `./a.yaml: with "/" the agent could leave its sandbox`},
	},
	{
		name: "what others are built from",
		files: map[string]string{
			"a.yaml": mounting("link", "false"), "link": "->.src/work", ".src/work/Dockerfile": "",
			"around.yaml": building("around", ".src"), "inside.yaml": building("inside", "x"), "x": "->.src/work/deep", ".src/work/deep/Dockerfile": "",
			"beside.yaml": building("beside", ".src/workshop"), "same.yaml": building("same", ".src/work"),
		},
		want: []string{"a", "beside", "./around.yaml" + writes, "./inside.yaml" + writes, "./same.yaml" + writes, "unread: ./link", "unread: ./x"},
	},
	{
		name:  "what it is built from itself, read-only",
		files: map[string]string{"a.yaml": strings.Replace(mounting("src", "true"), "image: agent", "build: {context: src}", 1)},
		want:  []string{"a"},
	},
	{
		name:  "a refused document judges no other one",
		files: map[string]string{"a.yaml": mounting("./prod", "oops"), "prod/b.yaml": bottle("b")},
		want:  []string{"b", "./a.yaml: true or false is expected, found the text \"oops\""},
	},
}

func TestWhatAgentsCanWriteDoesNotCount(t *testing.T) {
	for _, c := range writableCases {
		t.Run(c.name, func(t *testing.T) {
			tree(t, c.files)
			snapshot, err := Load(".")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, append(summary(snapshot), unread(snapshot)...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func unread(s Snapshot) []string {
	var lines []string
	for _, u := range s.Unread {
		lines = append(lines, "unread: "+u.Path)
	}
	slices.Sort(lines)
	return lines
}
