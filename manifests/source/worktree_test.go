package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWorktreeWarning: a Git worktree is no repository without the one that it belongs to, at the path that its .git names.
func TestWorktreeWarning(t *testing.T) {
	tree(t, map[string]string{"other/.git/worktrees/wt/commondir": "../..\n", "other/.git/worktrees/wt/gitdir": "/elsewhere/.git\n"})
	dir, err := os.Getwd()
	must(t, err)
	for _, command := range []string{
		"git init -q repo", "git -C repo -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m first", "git -C repo worktree add -q ../wt",
		"git init -q --bare bare.git",
	} {
		words := strings.Fields(command)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	must(t, os.Symlink(filepath.Join(dir, "wt"), "link"))
	put(t, "lies/.git", "gitdir: "+dir+"/repo/.git/worktrees/wt\n") // written by an agent
	put(t, "lies2/.git", "gitdir: "+dir+"/other/.git/worktrees/wt\n")
	put(t, "relative/.git", "gitdir: ../repo/.git/worktrees/relative\n") // as git writes with worktree.useRelativePaths
	put(t, "repo/.git/worktrees/relative/gitdir", "../../../../relative/.git\n")
	put(t, "repo/.git/worktrees/relative/commondir", "../..\n")
	repository := dir + "/repo/.git"
	const missing = "it is a Git worktree of"
	for name, test := range map[string]struct {
		mounts []string
		want   string // of the one warning; "" for none
		fix    string
	}{
		"alone":                   {[]string{"./wt:/work:ro"}, missing, "{source: " + repository + ", target: " + repository + ", readOnly: true}"},
		"by a link":               {[]string{"./link:/work:ro"}, missing, "source: " + repository},
		"with its repository":     {[]string{"./wt:/work:ro", repository + ":" + repository + ":ro"}, "", ""},
		"with what it is in":      {[]string{"./wt:/work:ro", dir + "/repo:" + dir + "/repo:ro"}, "", ""},
		"with it elsewhere":       {[]string{"./wt:/work:ro", repository + ":/repo/.git:ro"}, missing, "target: " + repository},
		"with something else":     {[]string{"./wt:/work:ro", dir + "/other/.git:" + repository + ":ro"}, missing, "source: " + repository},
		"relative":                {[]string{"./relative:/src/work:ro"}, missing, "{source: " + repository + ", target: /src/repo/.git, readOnly: true}"},
		"relative, with it":       {[]string{"./relative:/src/work:ro", repository + ":/src/repo/.git:ro"}, "", ""},
		"a repository":            {[]string{"./repo:/work:ro"}, "", ""},
		"what an agent wrote":     {[]string{"./lies:/work:ro"}, "", ""},
		"what leads to no such":   {[]string{"./lies2:/work:ro"}, "", ""},
		"a .git that is writable": {[]string{repository + ":" + repository}, "hooks and configuration, which run", "readOnly: true"},
		"a bare one that is":      {[]string{"./bare.git:/work"}, "hooks and configuration, which run", "readOnly: true"},
		"a bare one that is not":  {[]string{"./bare.git:/work:ro"}, "", ""},
	} {
		put(t, "a.yaml", mounts("a", test.mounts...))
		snapshot, err := Load("a.yaml")
		must(t, err)
		var got []string
		for _, w := range snapshot.Warnings {
			got = append(got, w.Reason+"; "+w.Fix)
		}
		text := strings.Join(got, "\n")
		if len(snapshot.Problems) > 0 || (len(got) != 0) != (test.want != "") || !strings.Contains(text, test.want) || !strings.Contains(text, test.fix) {
			t.Errorf("%s: %v %v, want %q %q", name, text, snapshot.Problems, test.want, test.fix)
		}
	}
}
