package reconciler

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/state"
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
func (x *Executor) SetUsers(m state.UserMapping) {
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
	_, record := dir.Files[state.RecordFile]
	mode := fs.FileMode(0o755) // the agent, whoever it runs as, reads its current configuration
	if dir.Spool || state.Within(dir.Path, s.RunDir) {
		mode = 0o700
	}
	if err := os.MkdirAll(dir.Path, mode); err != nil {
		return err
	}
	if record {
		mode = 0o700
	}
	if err := os.Chmod(dir.Path, mode); err != nil {
		return err
	}
	if !record {
		if err := giveTo(dir.Path, to); err != nil {
			return err
		}
	}
	for name, f := range dir.Files {
		own := func(path string) error { return giveTo(path, to) }
		if err := state.WriteFile(filepath.Join(dir.Path, name), f.Content.Reveal(), fs.FileMode(f.Mode), own); err != nil {
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
		if f.Mode&0o004 == 0 && name != state.RecordFile { // the record is bottled's own
			return false
		}
	}
	return !dir.Spool
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

// giveTo changes the owner. An unprivileged bottled runs the sidecars as its own user, who owns the file already.
func giveTo(path string, to owner) error {
	if os.Geteuid() != 0 || to.err != nil {
		return nil
	}
	return os.Lchown(path, to.uid, to.gid)
}

// giveDirs gives the directories that a container mounts to its user. They were written for another one when the engine
// began or ceased to map users.
func (r *run) giveDirs(ctx context.Context, dirs []string) error {
	to, err := r.owner(ctx)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		failed := []error{giveTo(dir, to)}
		for _, e := range entries {
			if e.Type().IsRegular() {
				failed = append(failed, ignoreGone(giveTo(filepath.Join(dir, e.Name()), to)))
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
