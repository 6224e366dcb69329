package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// shop is a host with directories that agents mount, and one that nobody may have.
type shop struct {
	*testing.T
	e   *harness.Env
	dir string
}

func newShop(t *testing.T) shop {
	t.Helper()
	e := harness.New(t)
	s := shop{t, e, filepath.Dir(e.Manifests)}
	s.file("secret/marker", "secret")
	harness.CopyAttacker(t, s.at("attacker"), 0o755)
	return s
}

func (s shop) at(name string) string { return filepath.Join(s.dir, name) }

func (s shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s shop) file(name, text string) {
	s.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.at(name)), 0o777))
	s.must(os.WriteFile(s.at(name), []byte(text), 0o666))
}

// declare writes a manifest of a bottle with mounts: SOURCE:TARGET, with :ro behind it for one that the agent may only read.
func (s shop) declare(slug string, mounts ...string) {
	s.Helper()
	list := []string{fmt.Sprintf("{source: %s, target: /attacker, readOnly: true}", s.at("attacker"))}
	for _, m := range mounts {
		parts := strings.Split(m, ":")
		list = append(list, fmt.Sprintf("{source: %s, target: %s, readOnly: %v}", s.at(parts[0]), parts[1], len(parts) > 2))
	}
	s.e.Write(slug+".yaml", fmt.Sprintf("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: %s}\nspec: {agent: {image: %s, command: [agent], mounts: [%s]}}\n",
		slug, s.e.Image("root", "USER 0\n", nil), strings.Join(list, ", ")))
}

// seen is what the agent sees at the target of a mount: the inode, and whether the agent runs.
func (s shop) seen(slug, target string) (ino uint64, runs bool) {
	s.Helper()
	out, err := s.e.DockerCommand("inspect", "-f", "{{.State.Running}} {{.State.Pid}}", s.e.Name(state.Agent, slug)).Output()
	if err != nil {
		return 0, false
	}
	var pid int
	var running bool
	if _, err := fmt.Sscan(string(out), &running, &pid); err != nil || !running {
		return 0, false
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/root%s", pid, target), &stat); err != nil {
		return 0, false
	}
	return stat.Ino, true
}

func (s shop) inode(name string) uint64 {
	s.Helper()
	var stat syscall.Stat_t
	s.must(syscall.Stat(s.at(name), &stat))
	return stat.Ino
}

// TestAgentSwapsTheSourceOfAMount: a mount's source in a place that an agent can write is refused, however it got there.
func TestAgentSwapsTheSourceOfAMount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.file("p/data/marker", "good")
	s.declare("both", "p:/work", "p/data:/data:ro")
	r := s.e.Reconcile(exitBadInput)
	if want := "spec.agent.mounts[2].source: the agent of bottle both can write it, through spec.agent.mounts[1]"; !strings.Contains(r.Stderr, want) {
		t.Errorf("want %q:\n%s", want, r.Stderr)
	}
	s.must(os.Remove(filepath.Join(s.e.Manifests, "both.yaml")))
	s.declare("victim", "p/data:/data:ro")
	s.e.Reconcile(exitDone)
	s.declare("evil", "p:/work")
	r = s.e.Reconcile(exitBadInput)
	if want := "with it the agent could write what bottle victim"; !strings.Contains(r.Stderr, want) {
		t.Errorf("want %q:\n%s", want, r.Stderr)
	}
	if ino, runs := s.seen("victim", "/data"); !runs || ino != s.inode("p/data") {
		t.Errorf("the victim's agent: %d, %v", ino, runs)
	}
	if _, runs := s.seen("evil", "/work"); runs {
		t.Error("the other one's runs")
	}
}

// TestNoStartOnAStalePath: while a source, or a parent of it, leads elsewhere the agent is not started again, and status says
// why; when it is back, the agent is, too.
func TestNoStartOnAStalePath(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	slugs := []string{"link", "socket", "parent", "other"}
	for _, slug := range slugs {
		s.file(slug+"/x/data/marker", "good")
		s.declare(slug, slug+"/x/data:/data:ro")
	}
	c := s.e.Controller("--resync", "1h").Ready()
	swap := func(slug, level, target string) {
		s.must(os.Rename(s.at(level), s.at(level+".old")))
		s.must(os.Symlink(target, s.at(level)))
		s.e.Docker("kill", s.e.Name(state.Agent, slug))
	}
	settledReady(t, s.e, slugs...)
	swap("link", "link/x/data", "/etc")
	swap("socket", "socket/x/data", "/run")
	swap("parent", "parent/x", "/proc/self/root/etc")
	s.e.Expect(exitFailed, "sync")
	for slug, says := range map[string]string{"link": "dangerous to mount", "socket": "leave its sandbox", "parent": "link of /proc"} {
		s.e.Eventually(wellWithin, slug+" says why", func() (bool, string) {
			b, _ := s.e.Bottle(slug)
			return !b.Ready && strings.Contains(b.Message, says), fmt.Sprintf("%+v", b)
		})
		if _, runs := s.seen(slug, "/data"); runs {
			t.Errorf("the agent of %s runs", slug)
		}
	}
	// Another directory under the same path is mounted anew.
	before := s.inode("other/x/data")
	s.must(os.Rename(s.at("other/x/data"), s.at("other/x/old")))
	s.file("other/x/data/marker", "new")
	for _, level := range []string{"link/x/data", "socket/x/data", "parent/x"} {
		s.must(os.Remove(s.at(level)))
		s.must(os.Rename(s.at(level+".old"), s.at(level)))
	}
	s.e.Expect(exitDone, "sync")
	settledReady(t, s.e, slugs...)
	for _, slug := range slugs {
		if ino, runs := s.seen(slug, "/data"); !runs || ino != s.inode(slug+"/x/data") {
			t.Errorf("%s: %d, %v", slug, ino, runs)
		}
	}
	if s.inode("other/x/data") == before {
		t.Error("nothing was replaced")
	}
	c.Stop()
}

// TestAgentCannotSwapWhatIsMountedOverItself: an agent tries with all its might to replace the .git that it sees a mount on, while it is
// killed and started again. The time is longer in the nightly tests.
func TestAgentCannotSwapWhatIsMountedOverItself(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.file("repo/.git/config", "good")
	s.declare("dev", "repo:/work", "repo/.git:/work/.git:ro")
	s.e.Controller("--resync", "1h").Ready()
	settledReady(t, s.e, "dev")
	want, agent := s.inode("repo/.git"), s.e.Name(state.Agent, "dev")
	for _, a := range s.e.Attack(agent, "swap", "/work/.git", "/etc", "1") {
		if a.Granted {
			t.Errorf("%s: granted", a.Name)
		}
	}
	duration := 4 * time.Second
	if nightly() {
		duration = time.Minute
	}
	starts := 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		// The attack goes on until the kill ends it.
		attack := s.e.DockerCommand("exec", agent, "/attacker", "swap", "/work/.git", "/etc", "60")
		s.must(attack.Start())
		harness.Elapse(200 * time.Millisecond)
		_ = s.e.DockerCommand("kill", agent).Run() // it may be between two starts
		_ = attack.Wait()
		s.e.Eventually(wellWithin, "the agent is back", func() (bool, string) {
			ino, runs := s.seen("dev", "/work/.git")
			if runs && ino != want {
				t.Errorf("started on inode %d, want %d", ino, want)
			}
			return runs, "it does not run"
		})
		settledReady(t, s.e, "dev") // a start that is killed at once is tried again later and later
		starts++
		if info, err := os.Lstat(s.at("repo/.git")); err != nil || !info.IsDir() {
			t.Fatalf("the agent replaced .git: %v, %v", info, err)
		}
	}
	t.Logf("%d starts in %s", starts, duration)
}
