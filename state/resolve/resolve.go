package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// Size limits of input files, in bytes.
const (
	maxToken    = 64 << 10
	maxCABundle = 4 << 20
)

// Inputs hold what a manifest refers to but does not contain. They are read before planning.
type Inputs struct {
	Tokens   map[v1alpha1.SecretRef]state.Content
	CABundle []byte
	Mounts   map[string]MountSource // by a mount's source
	Build    *buildcontext.Context
}

// MountSource identifies the source of a mount at the time of its check.
type MountSource struct {
	Path      string // without symbolic links
	ID        safepath.ID
	Directory bool
}

// Reader reads the inputs of manifests.
type Reader struct {
	Settings state.Settings
	Getenv   func(string) (string, bool) // os.LookupEnv, for tokens by `env`
	Builds   *buildcontext.Reader
	// Writable are the places that agents can write to: nothing there is read or mounted.
	Writable safepath.Set
}

// Read reads a manifest's inputs: the tokens from the environment or files, the CA bundle, the sources of the mounts, and the build
// context. The error joins all failures.
func (r Reader) Read(m v1alpha1.Bottle) (Inputs, error) {
	in := Inputs{Tokens: map[v1alpha1.SecretRef]state.Content{}}
	var err error
	in.Mounts, err = r.Mounts(m)
	failed := []error{err, r.readCredentials(&in, m)}
	if in.Build, err = r.Build(m); err != nil {
		failed = append(failed, fmt.Errorf("spec.agent.build: %w", err))
	}
	return in, errors.Join(failed...)
}

// Mounts resolves and checks the sources of the agent's mounts. The error wraps state.ErrMount.
func (r Reader) Mounts(m v1alpha1.Bottle) (map[string]MountSource, error) {
	sources := map[string]MountSource{}
	if m.Spec.Agent == nil {
		return sources, nil
	}
	var problems []error
	for i, mount := range m.Spec.Agent.Mounts {
		source, err := r.resolveMount(mount)
		if err != nil {
			problems = append(problems, fmt.Errorf("spec.agent.mounts[%d].source: %s: %w: %w", i, mount.Source, state.ErrMount, err))
			continue
		}
		sources[mount.Source] = source
	}
	return sources, errors.Join(problems...)
}

func (r Reader) resolveMount(m v1alpha1.Mount) (MountSource, error) {
	o, err := safepath.Open(m.Source)
	if err != nil {
		if unshared := r.Settings.CheckShared(m.Source); unshared != nil {
			return MountSource{}, unshared // the better explanation: bottled runs in a container that does not have the path
		}
		return MountSource{}, unwrapPathError(err)
	}
	defer o.Close()
	if place, ok := r.Writable.Mountable(o.Trace); !ok {
		return MountSource{}, &safepath.Error{Path: m.Source, Place: place}
	}
	if err := rules.CheckMount(o, m); err != nil {
		return MountSource{}, err
	}
	if own, shows, err := exposedOwnDir(r.Settings, o.Location()); err != nil || shows {
		return MountSource{}, errors.Join(err, fmt.Errorf("it would expose bottled's own files in %s to the agent: mount another directory", own))
	}
	return MountSource{Path: o.Real, ID: o.ID, Directory: o.Info.IsDir()}, r.Settings.CheckShared(o.Real)
}

// unwrapPathError strips the path from an error of opening it, since the message names it already.
func unwrapPathError(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (r Reader) readCredentials(in *Inputs, m v1alpha1.Bottle) error {
	if m.Spec.CredProxy == nil {
		return nil
	}
	var problems []error
	for i, route := range m.Spec.CredProxy.Routes {
		token, err := r.resolveToken(route.Token)
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

func (r Reader) resolveToken(ref v1alpha1.SecretRef) (state.Content, error) {
	value, from, err := r.readSecret(ref)
	if err != nil {
		return state.Content{}, err
	}
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		return state.Content{}, fmt.Errorf("%s is empty", from)
	}
	return state.NewContent([]byte(value)), nil
}

func (r Reader) readSecret(ref v1alpha1.SecretRef) (value, from string, err error) {
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

// Build reads the build context of the agent's image; nil when the image is not built. bottled sends the content to the engine, so the
// directory need not be on the engine's host.
func (r Reader) Build(m v1alpha1.Bottle) (*buildcontext.Context, error) {
	if m.Spec.Agent == nil || m.Spec.Agent.Build == nil {
		return nil, nil
	}
	source := m.Spec.Agent.Build.Source()
	o, err := r.Writable.Open(source.Dir)
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	defer o.Close()
	if err := checkContext(r.Settings, o); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	return r.Builds.Read(source, o.Real)
}
