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
	users *engine.UserMapping // nil: the engine was not asked
}

// WriteFiles makes a directory of this host hold exactly its files.
func (e *Engine) WriteFiles(ctx context.Context, dir state.Dir) error { return e.files.write(ctx, dir) }

// RemoveFiles removes a bottle's configuration and tokens. Its queue, with proposals and answers, stays. The directory of all
// tokens goes with the last bottle's.
func (e *Engine) RemoveFiles(_ context.Context, slug string) error {
	s := e.files.settings
	err := errors.Join(os.RemoveAll(s.BottleDir(slug)), os.RemoveAll(filepath.Dir(s.TokenDir(slug))))
	_ = os.Remove(s.RunDir) // fails as long as there are other bottles' tokens
	return err
}

// delivered reports whether a mount's source is one of bottled's own directories: no agent's mount is there.
func (f *files) delivered(m state.Mount) bool {
	return state.Within(m.Source, f.settings.StateDir) || state.Within(m.Source, f.settings.RunDir)
}

// owner is the user of this host that a sidecar's files belong to.
type owner struct {
	uid, gid int
	err      error // the sidecars' user on this host is not known, or files can't be given to it
}

// owner asks the engine, once, which user of this host the sidecars' user is.
func (f *files) owner(ctx context.Context) (owner, error) {
	f.mu.Lock()
	users := f.users
	f.mu.Unlock()
	if users == nil {
		info, err := f.info(ctx)
		if err != nil {
			return owner{}, err
		}
		users = &info.Users
	}
	var o owner
	o.uid, o.gid, o.err = users.HostUser(f.settings.User, os.Geteuid() == 0)
	return o, nil
}

// setUsers notes how the engine maps users. An engine that was restarted may map them otherwise.
func (f *files) setUsers(m engine.UserMapping) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users = &m
}

// write makes a directory hold exactly its files, each replaced atomically. The sidecars' user owns them, so that it can read
// them and nobody else but root can.
func (f *files) write(ctx context.Context, dir state.Dir) error {
	to, err := f.owner(ctx)
	if err != nil {
		return err
	}
	if to.err != nil && !public(dir) {
		return to.err
	}
	mode := fs.FileMode(0o755) // the agent, whoever it runs as, reads its current configuration
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

// public reports whether a sidecar can use a directory that belongs to somebody else: everybody can read all of it.
func public(dir state.Dir) bool {
	for _, f := range dir.Files {
		if f.Mode&0o004 == 0 {
			return false
		}
	}
	return !dir.Spool
}

// makeDir makes a directory in one of bottled's own, where nobody else can put a link.
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

// give changes an owner. An unprivileged bottled runs the sidecars as its own user, who owns everything already.
func (o owner) give(chown func(uid, gid int) error) error {
	if os.Geteuid() != 0 || o.err != nil {
		return nil
	}
	return chown(o.uid, o.gid)
}

// chown gives the delivered directories that a container mounts to the sidecars' user. They belong to another one when the engine
// began or ceased to map users after they were written.
func (f *files) chown(ctx context.Context, mounts []state.Mount) error {
	to, err := f.owner(ctx)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if !f.delivered(m) {
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
