package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

// LockSession marks a session's container, by its name, as in use, until release or the end of this process: it is a flock on a file in
// the state directory. Lock it before creating the container.
func LockSession(s state.Settings, container string) (release func() error, err error) {
	dir := s.SessionDir()
	if err := owndir.Make(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sessions' directory: %w", err)
	}
	if err := sweepSessions(s); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, container)
	// The file is locked before it gets its name, so that nobody sees it unlocked.
	flags := flock.SetFlag(os.O_CREATE | os.O_RDONLY | owndir.NoFollow)
	lock := flock.New(filepath.Join(dir, ".new-"+container), flags, flock.SetPermissions(0o600))
	if locked, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock session %s: %w", container, err)
	} else if !locked {
		return nil, fmt.Errorf("lock session %s: another process has it", container)
	}
	if err := os.Rename(lock.Path(), path); err != nil {
		return nil, errors.Join(fmt.Errorf("lock session: %w", err), lock.Unlock())
	}
	return func() error { return errors.Join(removeIfExists(path), lock.Unlock()) }, nil
}

// sweepSessions removes the lock files of sessions whose process was killed.
func sweepSessions(s state.Settings) error {
	entries, err := os.ReadDir(s.SessionDir())
	if err != nil {
		return fmt.Errorf("sessions' directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || SessionLocked(s, e.Name()) {
			continue
		}
		if err := removeIfExists(filepath.Join(s.SessionDir(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SessionLocked reports whether the process of a session lives. When in doubt it returns true, so that the container is kept. Call it only
// after the container was observed: the lock is older than the container.
func SessionLocked(s state.Settings, container string) bool {
	// A shared lock, so that two callers don't take each other for the session.
	lock := flock.New(filepath.Join(s.SessionDir(), container), flock.SetFlag(os.O_RDONLY|owndir.NoFollow))
	free, err := lock.TryRLock()
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_ = lock.Close() // of a file that was only read
	return !free
}
