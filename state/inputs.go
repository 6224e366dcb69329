package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

// Limits of what is read besides manifests, in bytes.
const (
	maxToken    = 64 << 10
	maxCABundle = 4 << 20
)

// ErrMount marks a mount whose source must not be mounted, or can't be. An agent with such a mount is not started.
var ErrMount = errors.New("not mounted")

// Inputs are what a manifest refers to but does not hold. They are read before anything is planned.
type Inputs struct {
	Tokens   map[manifests.SecretRef]Content
	CABundle []byte
	Mounts   map[string]MountSource // by a mount's source
	Build    *buildcontext.Context
}

// MountSource is what the source of a mount was when it was judged.
type MountSource struct {
	Path      string // without symbolic links
	ID        safepath.ID
	Directory bool
}

// InputReader reads what manifests refer to.
type InputReader struct {
	Settings Settings
	Getenv   func(string) (string, bool) // where tokens named by `env` are found
	Builds   *buildcontext.Reader
	// Writable is what agents can write: nothing there is read or mounted.
	Writable safepath.Set
}

// Read reads the tokens from the environment or files, the CA bundle, where the mounts' sources lead, and what the agent's
// image is built from.
func (r InputReader) Read(m manifests.Bottle) (Inputs, error) {
	in := Inputs{Tokens: map[manifests.SecretRef]Content{}}
	var err error
	in.Mounts, err = r.Mounts(m)
	failed := []error{err, r.readCredentials(&in, m)}
	if in.Build, err = r.Build(m); err != nil {
		failed = append(failed, fmt.Errorf("spec.agent.build: %w", err))
	}
	return in, errors.Join(failed...)
}

// Mounts judges the sources of the agent's mounts. The error wraps ErrMount.
func (r InputReader) Mounts(m manifests.Bottle) (map[string]MountSource, error) {
	sources := map[string]MountSource{}
	if m.Spec.Agent == nil {
		return sources, nil
	}
	var problems []error
	for i, mount := range m.Spec.Agent.Mounts {
		source, err := r.mount(mount)
		if err != nil {
			problems = append(problems, fmt.Errorf("spec.agent.mounts[%d].source: %s: %w: %w", i, mount.Source, ErrMount, err))
			continue
		}
		sources[mount.Source] = source
	}
	return sources, errors.Join(problems...)
}

func (r InputReader) mount(m manifests.Mount) (MountSource, error) {
	o, err := safepath.Open(m.Source)
	if err != nil {
		if unshared := r.Settings.CheckShared(m.Source); unshared != nil {
			return MountSource{}, unshared // in a container, a directory of the host is not there, or is another one
		}
		return MountSource{}, withoutPath(err)
	}
	defer o.Close()
	if place, ok := r.Writable.Mountable(o.Trace); !ok {
		return MountSource{}, &safepath.Error{Path: m.Source, Place: place}
	}
	if err := manifests.CheckMount(o, m); err != nil {
		return MountSource{}, err
	}
	if own, shows, err := r.Settings.showsOwn(o.Location()); err != nil || shows {
		return MountSource{}, errors.Join(err, fmt.Errorf("it would show the agent bottled's own files in %s: mount another directory", own))
	}
	return MountSource{Path: o.Real, ID: o.ID, Directory: o.Info.IsDir()}, r.Settings.CheckShared(o.Real)
}

// withoutPath is an error of opening a path without the path, which the message names already.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (r InputReader) readCredentials(in *Inputs, m manifests.Bottle) error {
	if m.Spec.CredProxy == nil {
		return nil
	}
	var problems []error
	for i, route := range m.Spec.CredProxy.Routes {
		token, err := r.token(route.Token)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.Source.Spell(fmt.Sprintf("spec.credProxy.routes[%d].token", i)), err))
			continue
		}
		in.Tokens[route.Token] = token
	}
	if path := m.Spec.CredProxy.CABundle; path != "" {
		var err error
		if in.CABundle, err = r.Writable.ReadFile(path, maxCABundle); err != nil {
			problems = append(problems, fmt.Errorf("spec.credProxy.caBundle: %w", err))
		}
	}
	return errors.Join(problems...)
}

func (r InputReader) token(ref manifests.SecretRef) (Content, error) {
	value, from, err := r.lookUp(ref)
	if err != nil {
		return Content{}, err
	}
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		return Content{}, fmt.Errorf("%s is empty", from)
	}
	return NewContent([]byte(value)), nil
}

func (r InputReader) lookUp(ref manifests.SecretRef) (value, from string, err error) {
	if ref.Env == "" {
		data, err := r.Writable.ReadFile(ref.File, maxToken)
		return string(data), ref.File, err
	}
	from = "environment variable " + ref.Env
	value, ok := r.Getenv(ref.Env)
	if !ok {
		return "", from, fmt.Errorf("%s is not set: export it where bottled runs", from)
	}
	return value, from, nil
}

// Build reads what the agent's image is built from; nil when it is not built. It is bottled that reads it, so it need not be
// shared with the engine's host where bottled runs in a container.
func (r InputReader) Build(m manifests.Bottle) (*buildcontext.Context, error) {
	if m.Spec.Agent == nil || m.Spec.Agent.Build == nil {
		return nil, nil
	}
	source := m.Spec.Agent.Build.Source()
	o, err := r.Writable.Open(source.Dir)
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	defer o.Close()
	if err := r.Settings.checkContext(o); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	return r.Builds.Read(source, o.Real)
}

// CheckMounts makes sure that the mounts' sources are still what was judged, right before an engine resolves the paths again.
func (s Settings) CheckMounts(mounts []Mount) error {
	for _, m := range mounts {
		if Within(m.Source, s.StateDir) || Within(m.Source, s.RunDir) {
			continue // bottled's own: no agent's mount is there
		}
		o, err := safepath.Open(m.Source)
		if err != nil {
			return fmt.Errorf("%w at %s: %w", ErrMount, m.Target, err)
		}
		same := o.ID == m.ID && o.Real == m.Source
		if err := o.Close(); err != nil {
			return fmt.Errorf("%w at %s: %w", ErrMount, m.Target, err)
		}
		if !same {
			return fmt.Errorf("%w at %s: %s was replaced since it was checked", ErrMount, m.Target, m.Source)
		}
	}
	return nil
}

// mountTeller says what is mounted in a running container.
type mountTeller interface {
	MountIDs(ctx context.Context, id string) (map[string]safepath.ID, error)
}

// CheckMounted makes sure that a container was started on what was judged. The engine resolves the paths of mounts by itself, so
// somebody who may write on the way can be faster than CheckMounts. Where the engine's processes can't be seen, it says nothing.
func CheckMounted(ctx context.Context, engine mountTeller, id string, mounts []Mount) error {
	judged := slices.DeleteFunc(slices.Clone(mounts), func(m Mount) bool { return m.ID == (safepath.ID{}) })
	if len(judged) == 0 {
		return nil
	}
	mounted, err := engine.MountIDs(ctx, id)
	if err != nil || mounted == nil {
		return err
	}
	for _, m := range judged {
		if mounted[m.Target] != m.ID {
			return fmt.Errorf("%w at %s: %s was replaced while the container was started", ErrMount, m.Target, m.Source)
		}
	}
	return nil
}
