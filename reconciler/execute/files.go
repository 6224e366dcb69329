package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/store"
)

// owner is the user of this host that a sidecar's files belong to.
type owner struct {
	uid, gid int
	err      error // the sidecars' user on this host is not known, or files can't be given to it
}

// owner asks the engine, once, which user of this host the sidecars' user is.
func (x *Executor) owner(ctx context.Context) (owner, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users == nil {
		info, err := x.Engine.Info(ctx)
		if err != nil {
			return owner{}, err
		}
		x.users = &info.Users
	}
	var o owner
	o.uid, o.gid, o.err = x.users.HostUser(x.Settings.User, os.Geteuid() == 0)
	return o, nil
}

// SetUsers tells how the engine maps users, each time that it was asked: an engine that was restarted may map them otherwise.
func (x *Executor) SetUsers(m engine.UserMapping) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.users = &m
}

// writeDir makes a directory hold exactly its files, each replaced atomically. The sidecars' user owns them,
// so that it can read them and nobody else but root can.
func writeDir(dir state.Dir, s state.Settings, to owner) error {
	if to.err != nil && !public(dir) {
		return to.err
	}
	_, record := dir.Files[store.RecordFile]
	mode := fs.FileMode(0o755) // the agent, whoever it runs as, reads its current configuration
	if dir.Spool || state.Within(dir.Path, s.RunDir) {
		mode = 0o700
	}
	if err := owndir.Make(filepath.Dir(dir.Path), mode); err != nil {
		return err
	}
	if err := makeIn(dir.Path, mode); err != nil {
		return err
	}
	if record {
		mode = 0o700
	}
	if err := os.Chmod(dir.Path, mode); err != nil {
		return err
	}
	if !record {
		if err := to.give(func(uid, gid int) error { return os.Lchown(dir.Path, uid, gid) }); err != nil {
			return err
		}
	}
	for name, f := range dir.Files {
		own := func(file *os.File) error { return to.give(file.Chown) }
		if err := owndir.WriteFile(filepath.Join(dir.Path, name), f.Content.Reveal(), fs.FileMode(f.Mode), own); err != nil {
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
	for name, f := range dir.Files {
		if f.Mode&0o004 == 0 && name != store.RecordFile { // the record is bottled's own
			return false
		}
	}
	return !dir.Spool
}

// makeIn makes a directory in one of bottled's own, where nobody else can put a link.
func makeIn(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory; remove it", path)
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

// giveDirs gives the directories that a container mounts to its user. They were written for another one when the engine
// began or ceased to map users.
func (r *execution) chownDirs(ctx context.Context, dirs []string) error {
	to, err := r.owner(ctx)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		give := func(path string) error {
			return to.give(func(uid, gid int) error { return os.Lchown(path, uid, gid) })
		}
		failed := []error{give(dir)}
		for _, e := range entries {
			if e.Type().IsRegular() {
				failed = append(failed, ignoreGone(give(filepath.Join(dir, e.Name()))))
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

// removeFiles removes a bottle's configuration and tokens. Its queue, with proposals and answers, stays.
func removeFiles(slug string, s state.Settings) error {
	return errors.Join(os.RemoveAll(s.BottleDir(slug)), os.RemoveAll(filepath.Dir(s.TokenDir(slug))))
}
