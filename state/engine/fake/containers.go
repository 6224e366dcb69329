package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/configreport"
	"github.com/bot-bottle/bottled/state/engine"
)

// container is one container, as it is. What a listing shows of it may be older.
type container struct {
	id, name string
	spec     state.Container
	image    image
	session  bool // removed by the engine when it ends
	run      run
	shown    run       // what listings show until shownFrom
	showFrom time.Time // when listings show run
	program  Program
	starts   int // invalidates what an earlier run left to happen
	booted   bool
	mounted  map[string]*dir // by target
	attached []endpoint
	log      []logLine
	copies   map[string]copied // by path
}

// run is what changes in a container's life.
type run struct {
	state    string
	exitCode int
	oom      bool
	endedAt  time.Time
	started  time.Time
}

type endpoint struct {
	network *network
	id      string
	aliases []string
	links   []string
}

type logLine struct {
	at     time.Time
	text   string
	report *engine.Report
	cause  string // start or signal
	failed error
}

func (c *container) visible() run {
	if time.Now().Before(c.showFrom) {
		return c.shown
	}
	return c.run
}

// set changes the run; listings show it after a delay.
func (c *container) set(delay time.Duration, change func(*run)) {
	c.shown = c.visible()
	change(&c.run)
	c.showFrom = time.Now().Add(delay)
}

func (c *container) live() bool {
	return c.run.state == engine.StateRunning || c.run.state == engine.StatePaused
}

func (c *container) health() string {
	switch {
	case c.program.Health == "" || !c.live():
		return ""
	case !c.booted:
		return engine.HealthStarting
	}
	return c.program.Health
}

// find returns a container by ID, by a prefix of it of at least 12 characters, or by name. The lock is held.
func (e *Engine) find(ref string) (*container, error) {
	if c := e.containers[ref]; c != nil {
		return c, nil
	}
	for id, c := range e.containers {
		if c.name == ref || len(ref) >= 12 && strings.HasPrefix(id, ref) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %.12s: %w", ref, engine.ErrNotFound)
}

// Containers lists the containers of an owner.
func (e *Engine) Containers(ctx context.Context, owner, slug string) ([]engine.Summary, error) {
	var found []engine.Summary
	err := e.read(ctx, func() error {
		for _, id := range slices.Sorted(maps.Keys(e.containers)) {
			c := e.containers[id]
			if c.spec.Labels[state.LabelOwner] == owner && (slug == "" || c.spec.Labels[state.LabelSlug] == slug) {
				found = append(found, c.summary())
			}
		}
		return nil
	})
	return found, err
}

func (c *container) summary() engine.Summary {
	s := engine.Summary{
		ID: c.id, Name: c.name, Image: c.spec.Image, ImageID: c.image.id, Labels: cloneMap(c.spec.Labels), State: c.visible().state, Health: c.health(),
	}
	for _, a := range c.attached {
		s.Endpoints = append(s.Endpoints, engine.Endpoint{Network: a.network.spec.Name, NetworkID: a.network.id, ID: a.id})
	}
	slices.SortFunc(s.Endpoints, func(a, b engine.Endpoint) int { return strings.Compare(a.Network, b.Network) })
	return s
}

// Inspect reads one container.
func (e *Engine) Inspect(ctx context.Context, id string) (detail engine.Detail, err error) {
	err = e.read(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		detail = c.detail()
		return nil
	})
	return detail, err
}

func (c *container) detail() engine.Detail {
	got, defaults := c.spec, c.image.defaults
	got.Name, got.Home = c.name, nil
	if len(got.Entrypoint) == 0 {
		got.Entrypoint = defaults.Entrypoint
		if len(got.Command) == 0 {
			got.Command = defaults.Command
		}
	}
	if got.User == "" {
		got.User = defaults.User
	}
	if got.WorkDir == "" {
		got.WorkDir = defaults.WorkDir
	}
	got.Env = cloneMap(defaults.Env)
	maps.Copy(got.Env, c.spec.Env)
	got.Additions = state.Additions{Init: c.spec.Additions.Init, QuickDNS: c.spec.Additions.QuickDNS, Launcher: c.spec.Additions.Launcher}
	got.Labels = cloneMap(c.spec.Labels)
	got.Mounts = nil
	for _, m := range c.spec.Mounts {
		got.Mounts = append(got.Mounts, state.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	got.Networks = nil
	for _, a := range c.attached {
		got.Networks = append(got.Networks, state.Attachment{Network: a.network.spec.Name, Aliases: slices.Clone(a.aliases), Links: slices.Clone(a.links)})
	}
	seen := c.visible()
	d := engine.Detail{Container: got, Defaults: defaults, ExitCode: seen.exitCode, OOMKilled: seen.oom, EndedAt: seen.endedAt, StartedAt: seen.started, Checked: c.health()}
	return d
}

// ContainerOwner returns who has a container's name.
func (e *Engine) ContainerOwner(ctx context.Context, name string) (id, owner string, err error) {
	err = e.read(ctx, func() error {
		c, err := e.find(name)
		if err == nil {
			id, owner = c.id, c.spec.Labels[state.LabelOwner]
		}
		return err
	})
	return id, owner, err
}

// CreateContainer creates a container on networks and from an image that exist.
func (e *Engine) CreateContainer(ctx context.Context, spec state.Container) (id string, err error) {
	err = e.write(ctx, func() error {
		id, err = e.create(spec, false)
		return err
	})
	return id, err
}

func (e *Engine) create(spec state.Container, session bool) (string, error) {
	img, ok := e.images[spec.Image]
	if !ok {
		return "", fmt.Errorf("create container %s: no such image %s: %w", spec.Name, spec.Image, engine.ErrNotFound)
	}
	for _, c := range e.containers {
		if c.name == spec.Name {
			return "", fmt.Errorf("create container %s: the name is in use by %.12s: %w", spec.Name, c.id, engine.ErrConflict)
		}
	}
	for _, m := range spec.Mounts {
		if e.delivered(m.Source) && e.dirs[m.Source] == nil {
			return "", fmt.Errorf("create container %s: bind source path %s does not exist", spec.Name, m.Source)
		}
	}
	for _, v := range spec.Volumes {
		if err := e.checkVolume(v.Volume, spec.Labels); err != nil {
			return "", fmt.Errorf("create container %s: %w", spec.Name, err)
		}
	}
	spec.Env, spec.Labels = spec.NewEnv(img.defaults.Env)
	spec.Additions.Env = nil
	c := &container{id: e.id("c"), name: spec.Name, spec: spec, image: img, session: session, run: run{state: engine.StateCreated}}
	for _, a := range spec.Networks { // which are found at the start
		c.attached = append(c.attached, endpoint{network: &network{spec: state.Network{Name: a.Network}}, aliases: a.Aliases, links: a.Links})
	}
	e.containers[c.id] = c
	return c.id, nil
}

// StartContainer starts a container whose networks exist.
func (e *Engine) StartContainer(ctx context.Context, id string, _ []state.Mount) error {
	return e.write(ctx, func() error { return e.start(id) })
}

func (e *Engine) start(id string) error {
	c, err := e.find(id)
	switch {
	case err != nil:
		return err
	case c.run.state == engine.StatePaused:
		return fmt.Errorf("start container: cannot start a paused container: %w", engine.ErrConflict)
	case c.run.state == engine.StateRunning:
		return nil
	}
	for i, a := range c.attached {
		if found := e.network(a.network.spec.Name); a.network.id == "" && found != nil {
			c.attached[i].network = found
		} else if e.networks[a.network.id] == nil {
			return fmt.Errorf("start container: network %s: %w", a.network.spec.Name, engine.ErrNotFound)
		}
	}
	for _, m := range c.spec.Mounts {
		if e.delivered(m.Source) && e.dirs[m.Source] == nil {
			return fmt.Errorf("start container: bind source path %s does not exist", m.Source)
		}
	}
	c.program = Program{}
	if e.options.Program != nil {
		c.program = e.options.Program(c.spec)
	}
	if c.program.StartError != nil {
		return fmt.Errorf("start container: %w", c.program.StartError)
	}
	c.starts++
	c.booted = false
	c.set(0, func(r *run) { r.state, r.started = engine.StateRunning, time.Now() })
	c.mounted = map[string]*dir{}
	for _, m := range c.spec.Mounts {
		c.mounted[m.Target] = e.dirs[m.Source]
	}
	for i := range c.attached {
		c.attached[i].id = e.id("f")
		e.emit(engine.EventConnected, c, c.attached[i].network.spec.Name)
	}
	e.emit(engine.EventStarted, c, "")
	for _, line := range c.program.Says {
		c.log = append(c.log, logLine{at: time.Now(), text: line})
	}
	e.schedule(c)
	return nil
}

// schedule has the program of a container that was started do what it does.
func (e *Engine) schedule(c *container) {
	began := c.starts
	e.later(c.program.Boot, func() { e.boot(c, began) })
	if c.program.EndsAfter > 0 {
		e.later(c.program.EndsAfter, func() {
			if c.starts == began && c.run.state == engine.StateRunning {
				e.end(c, c.program.ExitCode, false)
			}
		})
	}
}

// boot makes a container ready, unless it ended; a paused one when it is resumed.
func (e *Engine) boot(c *container, began int) {
	if c.starts != began || c.booted || c.run.state != engine.StateRunning {
		return
	}
	c.booted = true
	e.report(c, configreport.CauseStart)
	switch c.program.Health {
	case engine.HealthHealthy:
		e.emit(engine.EventHealthy, c, "")
	case engine.HealthUnhealthy:
		e.emit(engine.EventUnhealthy, c, "")
	}
}

// report has a component say what it serves.
func (e *Engine) report(c *container, cause string) {
	if c.program.Config == nil {
		return
	}
	files := map[string]map[string][]byte{}
	for target, d := range c.mounted {
		if d == nil {
			continue
		}
		files[target] = map[string][]byte{}
		for name, f := range d.files {
			files[target][name] = f.Content.Reveal()
		}
	}
	config, err := c.program.Config(files)
	line := logLine{at: time.Now(), cause: cause, failed: err, text: fmt.Sprintf(`{"event":"config","cause":%q,"config":%q}`, cause, config)}
	if err == nil {
		line.report = &engine.Report{Config: config, At: line.at}
	}
	c.log = append(c.log, line)
}

// end ends a container's first process.
func (e *Engine) end(c *container, code int, oom bool) {
	c.set(e.options.EndShownAfter, func(r *run) {
		*r = run{state: engine.StateExited, exitCode: code, oom: oom, endedAt: time.Now(), started: r.started}
	})
	c.starts++
	for i := range c.attached {
		e.emit(engine.EventDisconnected, c, c.attached[i].network.spec.Name)
		c.attached[i].id = ""
	}
	e.emit(engine.EventEnded, c, "")
	if c.session {
		e.remove(c)
	}
}

// StopContainer ends a container with exit code 0, as one whose program handles SIGTERM well.
func (e *Engine) StopContainer(ctx context.Context, id string, _ time.Duration) error {
	return e.write(ctx, func() error {
		c, err := e.find(id)
		switch {
		case err != nil, c.run.state != engine.StateRunning && c.run.state != engine.StatePaused:
			return nil //nolint:nilerr // a missing container is success
		}
		e.emit(engine.EventKillRequested, c, "")
		e.end(c, 0, false)
		c.showFrom = time.Time{} // the call returns when the engine knows
		if e.containers[c.id] != nil {
			e.emit(engine.EventStopped, c, "")
		}
		return nil
	})
}

// RemoveContainer kills and removes a container.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	return e.write(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return nil //nolint:nilerr // a missing container is success
		}
		if c.live() {
			e.emit(engine.EventKillRequested, c, "")
			e.end(c, 137, false)
		}
		if e.containers[c.id] != nil {
			e.remove(c)
		}
		return nil
	})
}

func (e *Engine) remove(c *container) {
	delete(e.containers, c.id)
	c.starts++
	e.emit(engine.EventRemoved, c, "")
}
