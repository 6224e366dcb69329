package source

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnreadable runs as a user without rights, also when the tests run as root: on Linux a thread can
// have its own user for access to files.
func TestUnreadable(t *testing.T) {
	tree(t, map[string]string{"a.yaml": bottle("a"), "b.yaml": bottle("b"), "m.md": supervised, "closed/c.yaml": bottle("c"), "blind/d.yaml": bottle("d"), "blind/l": "->e"})
	for path, mode := range map[string]os.FileMode{"..": 0o755, ".": 0o755, "a.yaml": 0o644, "b.yaml": 0, "m.md": 0, "closed": 0, "blind": 0o444} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod("closed", 0o700) // for the removal of the directory
	defer os.Chmod("blind", 0o700)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, so that no other goroutine gets this thread
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		snapshot, err := Load(".")
		if err != nil {
			t.Error(err)
		}
		want := []string{
			"a",
			"./b.yaml: it can't be read: permission denied",
			"./blind/d.yaml: it can't be read: permission denied",
			"./blind/l: the symlink leads nowhere: permission denied",
			"./closed: the directory can't be read: permission denied",
			"./m.md: it can't be read: permission denied", // and may be a bottle
		}
		if diff := cmp.Diff(want, summary(snapshot)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for _, path := range []string{"b.yaml", "closed", "closed/c.yaml"} {
			if _, err := Load("a.yaml", path); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}()
	<-done
}
