package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"github.com/bot-bottle/bottled/state/owndir"
)

// ErrNoAgent marks a bottle that declares no agent, which a session would be like.
var ErrNoAgent = errors.New("it declares no agent")

// Session is a container for one interactive session in the bottle: as its agent's, in the internal network only, under a
// name that nothing else has and no alias. command takes the place of the agent's; without one the agent's is run. The
// engine keeps no log of it: what is said in it is between the terminal and the program.
func (b Bottle) Session(prefix string, command []string) (Container, error) {
	i := slices.IndexFunc(b.Members, func(m Member) bool { return m.Part == Agent })
	if i < 0 {
		return Container{}, ErrNoAgent
	}
	c := b.Members[i].Container
	c.Name = containerName(prefix, Run, b.Slug) + "-" + strings.ToLower(rand.Text()[:8])
	c.Networks = []Attachment{{Network: c.Networks[0].Network}}
	c.Log = Log{Driver: "none"}
	if len(command) > 0 {
		c.Command = command
	}
	c.Labels = maps.Clone(c.Labels)
	c.Labels[LabelRole] = string(Run)
	c.Labels[LabelHash] = c.Hash()
	return c, nil
}

// SessionDrift is how a session's container differs from one that can't leave the bottle. What else it is made of was the
// declaration when it began, and stays. networks are the IDs, by name, of the networks that exist.
func (b Bottle) SessionDrift(have ObservedContainer, networks map[string]string) Drift {
	want := sealed(Attachment{Network: b.Networks[0].Name})
	got := have.Container
	var d Drift
	d.attachments(want, have, networks)
	d.list("dns", got.DNS, want.DNS)
	d.set("capDrop", got.CapDrop, want.CapDrop)
	d.set("capAdd", got.CapAdd, want.CapAdd)
	d.set("securityOpt", got.SecurityOpt, want.SecurityOpt)
	d.set("extras", got.Extras, want.Extras)
	return d
}

// HoldSession marks a session's container, by its name, as in use, until release or until this process ends in whatever
// way: it is a lock on a file in the state directory. Hold it before the container is created.
func HoldSession(s Settings, container string) (release func() error, err error) {
	dir := s.sessionDir()
	if err := owndir.Make(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sessions' directory: %w", err)
	}
	if err := sweepSessions(s); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, container)
	// Locked before it has its name, so that nobody sees it unlocked.
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
	return func() error { return errors.Join(removeIfThere(path), lock.Unlock()) }, nil
}

// sweepSessions removes what sessions left whose process was killed.
func sweepSessions(s Settings) error {
	entries, err := os.ReadDir(s.sessionDir())
	if err != nil {
		return fmt.Errorf("sessions' directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || sessionHeld(s, e.Name()) {
			continue
		}
		if err := removeIfThere(filepath.Join(s.sessionDir(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sessionHeld says whether a session's process lives; also when that can't be known, since its container is not to be
// taken away from it then. The container must be known to exist before this is asked.
func sessionHeld(s Settings, container string) bool {
	// Shared, so that two that ask don't take each other for the session.
	lock := flock.New(filepath.Join(s.sessionDir(), container), flock.SetFlag(os.O_RDONLY|owndir.NoFollow))
	free, err := lock.TryRLock()
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_ = lock.Close() // of a file that was only read
	return !free
}
