package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/bot-bottle/bottled/state/owndir"
)

// ErrLocked means that another process of the same owner works on the bottles.
var ErrLocked = errors.New("another bottled is at work")

// Lock locks the state directory, so that no two controllers of one owner run. It is a flock on a file, which the kernel releases when
// the process ends in any way. Every container has the state directory in a label, so that a controller with another state directory
// refuses to touch it. A state directory belongs to the owner that first locks it.
func Lock(stateDir, owner string) (release func() error, err error) {
	if err := owndir.Make(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w; choose another with --state-dir", err)
	}
	path := filepath.Join(stateDir, "lock")
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|owndir.NoFollow), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("%w for owner %q (it holds %s): wait for it, or stop it", ErrLocked, owner, path)
	}
	if err := claimOwner(path, owner); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock.Unlock, nil
}

// claimOwner writes the owner to the lock file, or fails if it names another one.
func claimOwner(path, owner string) error {
	data, err := owndir.ReadFile(path)
	if err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	switch was := strings.TrimSpace(string(data)); was {
	case owner:
		return nil
	case "":
		file, err := owndir.Open(path, os.O_WRONLY, 0) // not another file in its place: this one is locked
		if err != nil {
			return fmt.Errorf("lock the state directory: %w", err)
		}
		_, err = file.WriteString(owner + "\n")
		return errors.Join(err, file.Close())
	default:
		return fmt.Errorf("state directory %s belongs to owner %q, not %q: give each owner its own --state-dir", filepath.Dir(path), was, owner)
	}
}
