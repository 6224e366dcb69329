package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// asks adds supervise to a manifest.
func asks(manifest string) string {
	return strings.Replace(manifest, "spec:\n", "spec:\n  supervise: true\n", 1)
}

// TestApprovalsOnBadDisks: where the manifest can't be written, nothing changes and the proposal waits again. On a read-only file system that is
// said before, with the change. What a person writes by hand is approved as it is.
func TestApprovalsOnBadDisks(t *testing.T) {
	t.Parallel()
	a := &asking{Env: harness.New(t), t: t}
	if err := unix.Mount("tmpfs", a.Manifests, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(a.Manifests, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	a.manifest = a.Write("one.yaml", asks(small("one")))
	a.Controller("--resync", "1h").Ready()
	settledReady(t, a.Env, "one")
	a.ids = owned(a.Env)

	const host = "ask.demo.example"
	before := a.content()
	c := a.askHost(host)
	p := a.waits(host)
	full := filepath.Join(a.Manifests, "full")
	if err := os.WriteFile(full, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	a.unwritten(p, before, "no space")
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	a.remount(unix.MS_RDONLY)
	review := a.review(p)
	shown := a.Expect(exitDone, "proposals", "show", p.ID).Stdout
	for _, part := range []string{"can't be approved: write " + a.manifest, "read-only", "mount it writable", "+      - " + host + ":80"} {
		if !strings.Contains(shown, part) {
			t.Errorf("the review does not say %q:\n%s", part, shown)
		}
	}
	if patch := a.Expect(exitDone, "proposals", "show", p.ID, "--patch").Stdout; patch != review.Diff || review.Blocked == "" {
		t.Errorf("%+v, as a patch:\n%s", review, patch)
	}
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes"); !strings.Contains(r.Stderr, "read-only") {
		t.Errorf("refused:\n%s", r.Stderr)
	}
	a.audited(p, queue.ActionVoid, operator(t)) // of the full disk: nothing was decided since
	select {
	case <-c.done:
		t.Errorf("the agent is answered, though nothing was decided:\n%s", c.out)
	default:
	}

	edited := review.Edited
	a.remount(0)
	a.Write("one.yaml", edited)
	a.remount(unix.MS_RDONLY)
	a.Expect(exitDone, "sync")
	a.Expect(exitDone, "approve", p.ID, "--yes")
	a.answered(c, queue.Approved)
	a.changed(edited, "", "")
	a.remount(0)
	a.sameContainers()
	a.audited(p, "approved", operator(t))
}

func (a *asking) remount(flags uintptr) {
	a.t.Helper()
	if err := unix.Mount("", a.Manifests, "", unix.MS_REMOUNT|flags, ""); err != nil {
		a.t.Fatal(err)
	}
}

// unwritten approves in vain: it says why, the manifest is as before, and the proposal waits.
func (a *asking) unwritten(p reconciler.Proposal, before, why string) {
	a.t.Helper()
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes"); !strings.Contains(r.Stderr, why) {
		a.t.Errorf("it is not said that there is %s:\n%s", why, r.Stderr)
	}
	if again := a.waits("ask.demo.example"); again.ID != p.ID || !strings.Contains(again.Message, why) {
		a.t.Errorf("what waits is %+v", again)
	}
	a.changed(before, "", "")
	a.sameContainers()
	a.audited(p, queue.ActionVoid, operator(a.t))
}
