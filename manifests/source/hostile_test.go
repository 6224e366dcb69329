package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// mounts is a bottle whose agent gets mounts: SOURCE:TARGET, with :ro behind it for one that it may only read.
func mounts(name string, specs ...string) string {
	var list []string
	for _, spec := range specs {
		parts := strings.Split(spec, ":")
		list = append(list, fmt.Sprintf("{source: %s, target: %s, readOnly: %v}", parts[0], parts[1], len(parts) > 2))
	}
	return fmt.Sprintf("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: %s}\nspec: {agent: {image: agent, mounts: [%s]}}\n", name, strings.Join(list, ", "))
}

// tokenFrom is the bottle b, which has a token from a file.
func tokenFrom(token string) string {
	return fmt.Sprintf("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: b}\nspec: {credProxy: {routes: [{path: /a/, upstream: https://a.example.com, token: {file: %s}}]}}\n", token)
}

// load is what Load makes of a tree, with what was left unread.
func load(t *testing.T, known Known, paths ...string) []string {
	t.Helper()
	snapshot, err := LoadKnowing(known, paths...)
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	return append(summary(snapshot), unread(snapshot)...)
}

// byFirstMount is what is said of what an agent can write through the first mount of the bottle a.
func byFirstMount(where string) string {
	return "the agent of bottle a can write it, through spec.agent.mounts[0] (" + where + ")"
}

var attacks = []struct {
	name  string
	files map[string]string
	paths []string
	want  []string
}{
	{
		name:  "swap the source of a mount that lies in another one",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work", "../p/data:/data:ro"), "p/data/x": ""},
		want:  []string{"m/a.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "swap a parent of a mount's source",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work"), "m/b.yaml": mounts("b", "../p/x/y/z:/data:ro"), "p/x/y/z/f": ""},
		want:  []string{"a", "m/b.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "a mount over itself can't be swapped",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work", "../p/.git:/work/.git:ro"), "p/.git/config": ""},
		want:  []string{"a"},
	},
	{
		name:  "a mount over itself, that another agent does not see",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work"), "m/b.yaml": mounts("b", "../p:/work", "../p/.git:/work/.git:ro"), "p/.git/config": ""},
		want:  []string{"a", "m/b.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "a link under the name of a mount over itself",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work", "../p/.git:/work/.git:ro"), "p/.git": "->../other", "other/x": ""},
		want:  []string{"m/a.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "a manifest behind a link in the place",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work"), "m/evil.yaml": "->../p/l.yaml", "p/l.yaml": "->../other/evil.yaml", "other/evil.yaml": bottle("evil")},
		want:  []string{"a", "unread: m/evil.yaml"},
	},
	{
		name:  "a manifests' directory behind a link in the place",
		files: map[string]string{"m/a.yaml": mounts("a", "../../p:/work"), "p/link": "->../m"},
		paths: []string{"p/link"},
		want:  []string{"p/link/a.yaml: " + byFirstMount("p/link/a.yaml:1")},
	},
	{
		name:  "a token in the place",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work"), "m/b.yaml": tokenFrom("../p/token"), "p/token": "t"},
		want:  []string{"a", "m/b.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "a token that is not there yet, in the place",
		files: map[string]string{"m/a.yaml": mounts("a", "../p:/work"), "m/b.yaml": tokenFrom("../p/later/token"), "p/x": ""},
		want:  []string{"a", "m/b.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "a token that is mounted itself",
		files: map[string]string{"m/a.yaml": mounts("a", "../token:/token"), "m/b.yaml": tokenFrom("../token"), "token": "t"},
		want:  []string{"a", "m/b.yaml: " + byFirstMount("m/a.yaml:1")},
	},
	{
		name:  "an agent's manifest that would make another bottle's writable is not read",
		files: map[string]string{"m/a.yaml": mounts("a", "./work:/work"), "m/prod/b.yaml": bottle("b"), "m/work/evil.yaml": mounts("evil", "../prod:/work")},
		want:  []string{"a", "b", "unread: m/work"},
	},
	{
		name:  "two that speak against each other",
		files: map[string]string{"m/one/a.yaml": mounts("a", "../two:/work"), "m/two/b.yaml": mounts("b", "../one:/work"), "m/c.yaml": bottle("c")},
		want: []string{
			"c", "m/one/a.yaml: the agent of bottle b can write it, through spec.agent.mounts[0] (m/two/b.yaml:1)",
			"m/two/b.yaml: " + byFirstMount("m/one/a.yaml:1"),
		},
	},
	{
		name:  "a link to the root of the host in the place",
		files: map[string]string{"m/a.yaml": mounts("a", "./work:/work"), "m/work/x": "->/"},
		want:  []string{"a", "unread: m/work"},
	},
}

// TestAgentsAgainstManifests is a table of attacks from directories that agents can write.
func TestAgentsAgainstManifests(t *testing.T) {
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			tree(t, c.files)
			if c.paths == nil {
				c.paths = []string{"m"}
			}
			if diff := cmp.Diff(c.want, load(t, Known{}, c.paths...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestManyDirectoriesInThePlace: an agent's directories don't keep the walk from what lies behind them, and where there are too many
// of others, that is a problem behind which any bottle may hide.
func TestManyDirectoriesInThePlace(t *testing.T) {
	defer func(before int) { maxDirectories = before }(maxDirectories)
	maxDirectories = 100
	tree(t, map[string]string{"m/a.yaml": mounts("a", "./b:/work"), "m/c/c.yaml": bottle("c")})
	for i := range 2 * maxDirectories {
		if err := os.MkdirAll(fmt.Sprintf("m/b/%d", i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "c", "unread: m/b"}, load(t, Known{}, "m")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	put(t, "m/a.yaml", bottle("a"))
	snapshot, err := Load("m")
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshot.UnknownDocuments()) != 1 || !strings.Contains(snapshot.UnknownDocuments()[0].Reason, "the search ends here") {
		t.Errorf("a walk that was cut short counts as complete: %v", snapshot.Problems)
	}
}

// TestWhatAnAgentLeftBehind: a manifest that an agent wrote does not become one when its bottle is gone, also for another process; it
// does when the directory is another one.
func TestWhatAnAgentLeftBehind(t *testing.T) {
	tree(t, map[string]string{"m/a.yaml": mounts("a", "./work:/work"), "m/work/evil.yaml": bottle("evil")})
	reader := Reader{Paths: []string{"m"}}
	if _, _, err := reader.Read(); err != nil {
		t.Fatal(err)
	}
	put(t, "m/a.yaml", bottle("other"))
	snapshot, _, err := reader.Read()
	if err != nil {
		t.Fatal(err)
	}
	if got := append(summary(snapshot), unread(snapshot)...); slices.Contains(got, "evil") || !slices.Contains(got, "unread: m/work") {
		t.Errorf("after the bottle was removed: %v", got)
	}
	known := Known{Writable: safepath.Recall(reader.Known.Writable.Places())}
	if diff := cmp.Diff([]string{"other", "unread: m/work"}, load(t, known, "m")); diff != "" {
		t.Errorf("another process (-want +got):\n%s", diff)
	}
	if err := errors.Join(os.Rename("m/work", "old"), os.Mkdir("m/work", 0o755), os.Rename("old/evil.yaml", "m/work/mine.yaml")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"evil", "other"}, load(t, known, "m")); diff != "" {
		t.Errorf("a directory that replaced it (-want +got):\n%s", diff)
	}
}

// TestNewDocumentHarmsNoOldOne: it is the new one that is refused, and not what it would make writable.
func TestNewDocumentHarmsNoOldOne(t *testing.T) {
	now := time.Now()
	reader := Reader{Paths: []string{"m"}, Now: func() time.Time { return now.Add(time.Minute) }}
	tree(t, map[string]string{"m/prod/b.yaml": tokenFrom("../../secrets/token"), "secrets/token": "t"})
	if _, _, err := reader.Read(); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"its manifest": "./prod", "its token": "../secrets"} {
		put(t, "m/new.yaml", mounts("new", source+":/work"))
		snapshot, _, err := reader.Read()
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"b", "m/new.yaml: with it the agent could write what bottle b (m/prod/b.yaml:1) is made of"}
		if diff := cmp.Diff(want, append(summary(snapshot), unread(snapshot)...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRepositoryWarning: git on the host runs what the agent writes into .git.
func TestRepositoryWarning(t *testing.T) {
	tree(t, map[string]string{
		"m/a.yaml": mounts("a", "../repo:/work"), "m/b.yaml": mounts("b", "../repo:/work:ro"), "m/c.yaml": mounts("c", "../repo:/work", "../repo/.git:/work/.git:ro"),
		"m/d.yaml": mounts("d", "../worktree:/work"), "m/e.yaml": mounts("e", "../plain:/work"), "repo/.git/config": "", "worktree/.git": "gitdir: ../x", "plain/x": "",
	})
	must(t, os.Chdir("m"))
	snapshot, err := Load("a.yaml", "b.yaml", "d.yaml", "e.yaml")
	must(t, err)
	var warned []string
	for _, w := range snapshot.Warnings {
		warned = append(warned, w.Slug)
		if !strings.Contains(w.Fix, filepath.Base(filepath.Dir(strings.Fields(w.Fix)[4]))) || !strings.Contains(w.Fix, "target: /work/.git, readOnly: true") {
			t.Error(w.Fix)
		}
	}
	if diff := cmp.Diff([]string{"a", "d"}, warned); diff != "" || len(snapshot.Problems) > 0 {
		t.Errorf("-want +got:\n%s%v", diff, snapshot.Problems)
	}
	snapshot, err = Load("c.yaml")
	must(t, err)
	if len(snapshot.Warnings)+len(snapshot.Problems) > 0 {
		t.Errorf("the fix does not help: %v %v", snapshot.Warnings, snapshot.Problems)
	}
}

// TestSpecialFilesAsSources: what is no directory or file is no mount.
func TestSpecialFilesAsSources(t *testing.T) {
	tree(t, map[string]string{})
	must(t, syscall.Mkfifo("fifo", 0o600))
	for source, want := range map[string]string{"./fifo": "neither a directory nor a file", "/dev/null": "leave its sandbox"} {
		put(t, "a.yaml", mounts("a", source+":/x"))
		if got := load(t, Known{}, "a.yaml"); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %v", source, got)
		}
	}
}
