package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/owndir"
)

// files delivers configuration as directories of this host, which containers bind-mount.
type files struct {
	settings state.Settings
	info     func(ctx context.Context) (engine.Info, error)

	mu    sync.Mutex
	users *engine.UserMapping // nil before the first call of Info
}

// WriteFiles makes a directory of this host hold exactly its files.
func (e *Engine) WriteFiles(ctx context.Context, dir state.Dir) error { return e.files.write(ctx, dir) }

// RemoveFiles removes a bottle's configuration and tokens, but not its proposal queue. With the last bottle's tokens it removes the
// run directory.
func (e *Engine) RemoveFiles(_ context.Context, slug string) error {
	s := e.files.settings
	err := errors.Join(os.RemoveAll(s.BottleDir(slug)), os.RemoveAll(filepath.Dir(s.TokenDir(slug))))
	_ = os.Remove(s.RunDir) // fails while it holds another bottle's tokens
	return err
}

// isDelivered reports whether a mount's source is one of bottled's own directories. An agent's declared mounts never are.
func (f *files) isDelivered(m state.Mount) bool {
	return state.Within(m.Source, f.settings.StateDir) || state.Within(m.Source, f.settings.RunDir)
}

// fileOwner is the user of this host that a sidecar's files belong to.
type fileOwner struct {
	uid, gid int
	err      error // the sidecars' user on this host is unknown, or bottled may not change owners
}

// userMapping returns the engine's user mapping. It asks the engine once.
func (f *files) userMapping(ctx context.Context) (engine.UserMapping, error) {
	f.mu.Lock()
	users := f.users
	f.mu.Unlock()
	if users != nil {
		return *users, nil
	}
	info, err := f.info(ctx)
	return info.Users, err
}

// sidecarOwner returns the user of this host that the sidecars' user is mapped to.
func (f *files) sidecarOwner(ctx context.Context) (fileOwner, error) {
	users, err := f.userMapping(ctx)
	if err != nil {
		return fileOwner{}, err
	}
	var o fileOwner
	o.uid, o.gid, o.err = users.HostUser(f.settings.User, os.Geteuid() == 0)
	return o, nil
}

// setUsers updates the engine's user mapping, which may change when the engine is restarted.
func (f *files) setUsers(m engine.UserMapping) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users = &m
}

// write makes a directory hold exactly its files, each replaced atomically and owned by the sidecars' user, so that only that user and
// root can read them.
func (f *files) write(ctx context.Context, dir state.Dir) error {
	to, err := f.sidecarOwner(ctx)
	if err != nil {
		return err
	}
	if to.err != nil && !worldReadable(dir) {
		return to.err
	}
	mode := fs.FileMode(0o755) // the agent's user, which may be any, reads its current configuration
	if dir.Spool || state.Within(dir.Path, f.settings.RunDir) {
		mode = 0o700
	}
	if err := owndir.Make(filepath.Dir(dir.Path), mode); err != nil {
		return err
	}
	if err := makeDir(dir.Path, mode); err != nil {
		return err
	}
	if err := os.Chmod(dir.Path, mode); err != nil {
		return err
	}
	if err := to.give(func(uid, gid int) error { return os.Lchown(dir.Path, uid, gid) }); err != nil {
		return err
	}
	for name, file := range dir.Files {
		own := func(opened *os.File) error { return to.give(opened.Chown) }
		if err := owndir.WriteFile(filepath.Join(dir.Path, name), file.Content.Reveal(), fs.FileMode(file.Mode), own); err != nil {
			return err
		}
	}
	if dir.Spool {
		return nil
	}
	return removeOthers(dir)
}

// worldReadable reports whether a sidecar can use a directory that another user owns: all files are readable by everybody.
func worldReadable(dir state.Dir) bool {
	for _, f := range dir.Files {
		if f.Mode&0o004 == 0 {
			return false
		}
	}
	return !dir.Spool
}

// makeDir creates a directory inside one of bottled's own, where nobody else can plant a symbolic link.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory; remove it", path)
	}
	return err
}

func removeOthers(dir state.Dir) error {
	entries, err := os.ReadDir(dir.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := dir.Files[e.Name()]; ok || e.IsDir() {
			continue
		}
		if err := os.Remove(filepath.Join(dir.Path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// give changes the owner of a file, if bottled is root. An unprivileged bottled runs the sidecars as its own user, who owns everything
// already.
func (o fileOwner) give(chown func(uid, gid int) error) error {
	if os.Geteuid() != 0 || o.err != nil {
		return nil
	}
	return chown(o.uid, o.gid)
}

// chownDelivered makes the sidecars' user the owner of the delivered directories among a container's mounts. The owner is another one
// if the engine's user mapping changed after they were written.
func (f *files) chownDelivered(ctx context.Context, mounts []state.Mount) error {
	to, err := f.sidecarOwner(ctx)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if !f.isDelivered(m) {
			continue
		}
		entries, err := os.ReadDir(m.Source)
		if err != nil {
			return err
		}
		give := func(path string) error {
			return to.give(func(uid, gid int) error { return os.Lchown(path, uid, gid) })
		}
		failed := []error{give(m.Source)}
		for _, e := range entries {
			if e.Type().IsRegular() {
				failed = append(failed, ignoreGone(give(filepath.Join(m.Source, e.Name()))))
			}
		}
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
