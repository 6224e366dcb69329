package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/route"
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
	// Hosts are those of the allowlist that are in force; HostsUntil is when the first of them ends, or zero. Only the time changes them.
	Hosts      []string
	HostsUntil time.Time
	Tokens     map[string]state.Content // by state.TokenSlot
	// NotRun are the slots of tokens that a command prints which this process does not run: it only plans.
	NotRun   map[string]bool
	CABundle []byte
	Mounts   map[string]MountSource // by a mount's source
	// Env holds the agent's variables from env files and by reference; nil when there are none, or when one can't be read.
	Env map[string]string
	// ServiceEnv holds the variables of services by reference, by the service's name; none of one of which one can't be read.
	ServiceEnv map[string]map[string]string
	Build      *buildcontext.Context
	// User ("uid:gid") is the agent's where its manifest says auto; "" is the image's.
	User string
	// Devices are the paths of the agent's devices without symbolic links, by their source.
	Devices map[string]string
}

// SetTime sets what depends on the time.
func (in *Inputs) SetTime(m v1alpha1.Bottle, now time.Time) {
	in.Hosts, in.HostsUntil = m.Spec.Egress.HostsAt(now), m.Spec.Egress.NextEnd(now)
}

// MountSource identifies the source of a mount at the time of its check.
type MountSource struct {
	Path      string // without symbolic links
	ID        safepath.ID
	Directory bool
	Owner     state.Owner
}

// Reader reads the inputs of manifests.
type Reader struct {
	Settings state.Settings
	Getenv   func(string) (string, bool) // os.LookupEnv, for tokens and the agent's variables by `env`
	Builds   *buildcontext.Reader
	// Dockerfile is one that a build context is thought to have instead of its own, for a preview; nil for its own.
	Dockerfile []byte
	// Commands have run the commands of tokens; nil in a process that runs none.
	Commands *TokenCommands
	// Writable are the places that agents can write to: nothing there is read or mounted.
	Writable safepath.Set
	// ContainerIDs returns the IDs that containers have for those of this host, negative for none, and whether that is known. nil: they
	// have the same.
	ContainerIDs func(uid, gid int) (containerUID, containerGID int, known bool)
}

// InputError is about something that a field of a manifest refers to.
type InputError struct {
	File  string
	Line  int // of the field
	Field string
	Err   error
}

// Error is FILE:LINE: FIELD: what is wrong.
func (e *InputError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %v", e.File, e.Line, e.Field, e.Err)
}

// Unwrap returns what is wrong.
func (e *InputError) Unwrap() error { return e.Err }

func inputError(m v1alpha1.Bottle, field string, err error) *InputError {
	return &InputError{File: m.Source.Path, Line: m.Source.LineOf(field), Field: m.Source.Spell(field), Err: err}
}

// Read reads a manifest's inputs: the tokens from the environment, files or commands, the CA bundle, the sources of the mounts, the agent's
// environment, and the build context. The error joins all failures, which are InputErrors.
func (r Reader) Read(m v1alpha1.Bottle) (Inputs, error) {
	in, failed := r.Examine(m)
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	return in, errors.Join(errs...)
}

// Examine is Read with the failures one by one.
func (r Reader) Examine(m v1alpha1.Bottle) (Inputs, []*InputError) {
	in := Inputs{Tokens: map[string]state.Content{}}
	in.SetTime(m, time.Now())
	var failed []*InputError
	in.Mounts, failed = r.mounts(m)
	failed = append(failed, r.readCredentials(&in, m)...)
	failed = append(failed, r.readEnv(&in, m)...)
	var err error
	if in.User, err = r.user(m, in.Mounts); err != nil {
		failed = append(failed, inputError(m, v1alpha1.UserField, err))
	}
	failed = append(failed, r.readDevices(&in, m)...)
	if in.Build, err = r.Build(m); err != nil {
		failed = append(failed, inputError(m, v1alpha1.BuildField, err))
	}
	return in, failed
}

// Mounts resolves and checks the sources of the agent's mounts. The error wraps state.ErrMount.
func (r Reader) Mounts(m v1alpha1.Bottle) (map[string]MountSource, error) {
	sources, failed := r.mounts(m)
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	return sources, errors.Join(errs...)
}

func (r Reader) mounts(m v1alpha1.Bottle) (map[string]MountSource, []*InputError) {
	sources := map[string]MountSource{}
	if m.Spec.Agent == nil {
		return sources, nil
	}
	var failed []*InputError
	for i, mount := range m.Spec.Agent.Mounts {
		source, err := r.resolveMount(mount)
		if err != nil {
			field := fmt.Sprintf("%s[%d].source", v1alpha1.MountsField, i)
			failed = append(failed, inputError(m, field, fmt.Errorf("%s: %w: %w", mount.Source, state.ErrMount, err)))
			continue
		}
		sources[mount.Source] = source
	}
	return sources, failed
}

func (r Reader) resolveMount(m v1alpha1.Mount) (MountSource, error) {
	o, err := safepath.Open(m.Source)
	if err != nil {
		if unshared := r.Settings.CheckShared(m.Source); unshared != nil {
			return MountSource{}, unshared // the better explanation: bottled runs in a container that does not have the path
		}
		return MountSource{}, missing(unwrapPathError(err), "make it on this host first, or correct the path")
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
	return MountSource{Path: o.Real, ID: o.ID, Directory: o.Info.IsDir(), Owner: r.ownerOf(o.Info)}, r.Settings.CheckShared(o.Real)
}

// unwrapPathError strips the path from an error of opening it, since the message names it already.
func unwrapPathError(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (r Reader) readCredentials(in *Inputs, m v1alpha1.Bottle) []*InputError {
	if m.Spec.CredProxy == nil {
		return nil
	}
	var failed []*InputError
	for i, route := range m.Spec.CredProxy.Routes {
		slot := state.TokenSlot(route.Token)
		token, err := r.resolveToken(m.Metadata.Name, route.Token)
		switch {
		case errors.Is(err, errNotRun):
			if in.NotRun == nil {
				in.NotRun = map[string]bool{}
			}
			in.NotRun[slot] = true
		case err != nil:
			failed = append(failed, inputError(m, fmt.Sprintf("%s[%d].token", v1alpha1.RoutesField, i), err))
		default:
			in.Tokens[slot] = token
		}
	}
	if path := m.Spec.CredProxy.CABundle; path != "" {
		var err error
		if in.CABundle, err = r.readCABundle(path); err != nil {
			failed = append(failed, inputError(m, v1alpha1.CredProxyField+".caBundle", err))
		}
	}
	return failed
}

func (r Reader) readCABundle(path string) ([]byte, error) {
	data, err := r.Writable.ReadFile(path, maxCABundle)
	if err != nil {
		return nil, missing(err, "put the PEM file there, or correct the path")
	}
	if _, err := route.ParseCABundle(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// missing marks the error of a file that does not exist, and adds what to do about it.
func missing(err error, fix string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return unavailable{fmt.Errorf("%w; %s", err, fix)}
	}
	return err
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
		return nil, fmt.Errorf("context: %w", missing(err, "make the directory, or correct the path"))
	}
	defer o.Close()
	if err := checkContext(r.Settings, o); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	c, err := r.Builds.Read(source, o.Real)
	if err == nil && r.Dockerfile != nil {
		c = c.WithDockerfile(r.Dockerfile)
	}
	return c, err
}
