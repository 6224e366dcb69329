package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exhaustedEnv makes a test run again, in a user namespace whose limits it may change.
const exhaustedEnv = "BOTTLED_TEST_EXHAUST"

// TestAgentTakesAllOfInotify: an agent that is root, in an engine without user namespaces, has the limits of the controller's user,
// and takes all that there is. Here they end in a user namespace of the test's own, so that nobody else's are taken.
func TestAgentTakesAllOfInotify(t *testing.T) {
	if limit := os.Getenv(exhaustedEnv); limit != "" {
		watchExhausted(t, limit)
		return
	}
	for _, limit := range []string{"max_inotify_instances", "max_inotify_watches"} {
		t.Run(limit, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestAgentTakesAllOfInotify$", "-test.v")
			cmd.Env = append(os.Environ(), exhaustedEnv+"="+limit)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
			}
			out, err := cmd.CombinedOutput()
			if err != nil && !strings.Contains(string(out), "=== RUN") {
				t.Skipf("this machine gives no user namespace: %v", err)
			}
			if err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// watchExhausted lets a limit end before there is a watcher, and while there is one.
func watchExhausted(t *testing.T, limit string) {
	set := func(n int) { must(t, os.WriteFile("/proc/sys/user/"+limit, fmt.Append(nil, n), 0o600)) }
	root := t.TempDir()
	file := filepath.Join(root, "a.yaml")
	must(t, os.WriteFile(file, []byte(bottle("a")), 0o600))
	signalled := func(w *Watcher, what string) {
		t.Helper()
		select {
		case <-w.Changes():
		case <-time.After(patience):
			t.Errorf("%s: not noticed", what)
		}
	}
	start := func() *Watcher {
		t.Helper()
		k := theKernel
		k.retry = 50 * time.Millisecond
		w, err := watch(WatchOptions{Paths: []string{root}}, k)
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		return w
	}
	set(0)
	blind := start()
	if late := blind.Late(); len(late) != 1 || !strings.Contains(late[0], "raise sysctl fs.inotify.") {
		t.Errorf("nothing is left at the start, and it says %q", late)
	}
	signalled(blind, "the warning")
	must(t, os.WriteFile(file, []byte(bottle("a")+"# changed\n"), 0o600))
	signalled(blind, "a change while nothing is left")
	set(8)
	seeing := start()
	set(0)
	if limit == "max_inotify_watches" {
		must(t, os.Mkdir(filepath.Join(root, "new"), 0o700))
		signalled(seeing, "a new directory")
		file = filepath.Join(root, "new", "b.yaml")
	}
	must(t, os.WriteFile(file, []byte(bottle("b")), 0o600))
	signalled(seeing, "a change after all was taken")
	if late := seeing.Late(); (len(late) > 0) != (limit == "max_inotify_watches") {
		t.Errorf("what it holds it keeps, and it says %q", late)
	}
}
