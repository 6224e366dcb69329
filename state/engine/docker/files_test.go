package docker

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// TestFilesOfRemappedUsers writes a sidecar's files for an engine with userns-remap, and gives them away again when the engine
// maps otherwise after a restart.
func TestFilesOfRemappedUsers(t *testing.T) {
	root := os.Geteuid() == 0
	dir := state.Dir{Path: filepath.Join(t.TempDir(), "cred-proxy"), Files: map[string]state.File{"routes.json": {Mode: 0o600}}}
	f := &files{settings: state.Settings{User: "65532:65532"}}
	for _, mapping := range []engine.UserMapping{{}, {UID: 300000, GID: 400000}, {UID: 500000, GID: 500000}, {}} {
		f.setUsers(mapping)
		err := f.write(t.Context(), dir)
		if !root && mapping.Remaps() {
			if err == nil || !strings.Contains(err.Error(), "run bottled as root") {
				t.Errorf("an unprivileged bottled on an engine that remaps: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if root {
			expectOwner(t, dir.Path, mapping)
		}
	}
	f.setUsers(engine.UserMapping{UID: 600000, GID: 600000})
	f.settings.StateDir = filepath.Dir(dir.Path)
	if err := f.chownDelivered(t.Context(), []state.Mount{{Source: dir.Path}}); err != nil {
		t.Fatal(err)
	}
	if root {
		expectOwner(t, dir.Path, engine.UserMapping{UID: 600000, GID: 600000})
	}
}

func expectOwner(t *testing.T, dir string, m engine.UserMapping) {
	t.Helper()
	for _, path := range []string{dir, filepath.Join(dir, "routes.json")} {
		var info syscall.Stat_t
		if err := syscall.Lstat(path, &info); err != nil {
			t.Fatal(err)
		}
		if int(info.Uid) != m.UID+65532 || int(info.Gid) != m.GID+65532 {
			t.Errorf("%s belongs to %d:%d with mapping %+v", path, info.Uid, info.Gid, m)
		}
	}
}

// TestFilesOfUnknownUsers: on a rootless engine only what everybody can read is written for a sidecar.
func TestFilesOfUnknownUsers(t *testing.T) {
	f := &files{settings: state.Settings{User: "65532:65532"}}
	f.setUsers(engine.UserMapping{Unknown: true})
	for name, dir := range map[string]struct {
		dir     state.Dir
		refused bool
	}{
		"pipelock":   {state.Dir{Files: map[string]state.File{"pipelock.yaml": {Mode: 0o444}}}, false},
		"cred-proxy": {state.Dir{Files: map[string]state.File{"ca.pem": {Mode: 0o444}, "routes.json": {Mode: 0o600}}}, true},
		"queue":      {state.Dir{Spool: true}, true},
	} {
		dir.dir.Path = filepath.Join(t.TempDir(), name)
		err := f.write(t.Context(), dir.dir)
		if refused := err != nil && strings.Contains(err.Error(), "rootless"); refused != dir.refused || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
