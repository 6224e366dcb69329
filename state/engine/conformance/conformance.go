package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// Subject is an engine under test.
type Subject struct {
	Engine   engine.Engine
	Settings state.Settings
	// Hands does what other people do, past the engine's port.
	Hands Hands
	// Agent is an image on the engine, Waits a command of it that runs until it is stopped, Ends one that ends at once with exit
	// code 0.
	Agent       string
	Waits, Ends []string
	// Bottle is a bottle whose pipelock runs on the engine; Changed is the same with another allowlist.
	Bottle, Changed state.Bottle
	// Within bounds how long the engine may take to show or to do something.
	Within time.Duration
}

// NoCommand is a command that no image has, and Directory a directory of the agent's image.
const (
	NoCommand = "no-such-command"
	Directory = "/etc"
)

// Hands do to containers, by name, what other people do.
type Hands interface {
	Pause(name string) error
	Kill(name string) error
	Remove(name string) error
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	for name, test := range map[string]func(*run){
		"networks": networks, "containers": containers, "drift": drift, "ends": ends, "commands": commands, "interruptions": interruptions, "attachments": attachments,
		"limits": limits, "missing": missing, "events": events, "files": files, "reload": reload, "images": images, "sessions": sessions, "copies": copies,
		"volumes": volumes, "terminals": terminals,
	} {
		t.Run(name, func(t *testing.T) { test(&run{T: t, Subject: s, slug: name}) })
	}
}

func networks(r *run) {
	made := r.network("one", 0)
	if diff := observe.DiffNetwork(r.networkOf("one", 0), made); len(diff) > 0 {
		r.Errorf("the network differs from its declaration: %v", diff)
	}
	_, err := r.Engine.CreateNetwork(r.Context(), r.networkOf("two", 0))
	r.want(err, engine.ErrConflict)
	all, err := r.Engine.Networks(r.Context())
	r.must(err)
	i := slices.IndexFunc(all, func(n engine.ObservedNetwork) bool { return n.ID == made.ID })
	if i < 0 || len(observe.DiffNetwork(made.Network, all[i])) > 0 || all[i].Labels[state.LabelSlug] != r.slug {
		r.Errorf("the listing shows %+v, want %+v", all, made)
	}
	r.must(r.Engine.RemoveNetwork(r.Context(), made.ID))
	r.must(r.Engine.RemoveNetwork(r.Context(), made.ID)) // a missing one is success
}

func containers(r *run) {
	n := r.network("containers", 0)
	c := r.container("c", n.Name)
	id := r.create(c)
	if s, ok := r.find(id); !ok || s.State != engine.StateCreated || s.Name != c.Name || s.Slug() != r.slug || s.Component() != state.Agent {
		r.Errorf("a created container is listed as %+v", s)
	}
	_, err := r.Engine.CreateContainer(r.Context(), c)
	r.want(err, engine.ErrConflict)
	got, owner, err := r.Engine.ContainerOwner(r.Context(), c.Name)
	if err != nil || got != id || owner != r.Settings.Owner {
		r.Errorf("the name belongs to %q, %q, %v", got, owner, err)
	}
	if created, err := r.Engine.Inspect(r.Context(), id); err != nil || !created.StartedAt.IsZero() {
		r.Errorf("before its first run: %+v, %v", created, err)
	}
	r.must(r.Engine.StartContainer(r.Context(), id, nil))
	r.must(r.Engine.StartContainer(r.Context(), id, nil)) // it runs already
	r.shows(id, engine.StateRunning)
	_, err = r.Engine.WaitReady(r.Context(), id, engine.Readiness{})
	r.must(err)
	first, err := r.Engine.Inspect(r.Context(), id)
	if err != nil || first.StartedAt.IsZero() {
		r.Errorf("its first run: %+v, %v", first, err)
	}
	members, err := r.Engine.NetworkMembers(r.Context(), n.ID)
	if err != nil || !slices.Equal(members, []string{c.Name}) {
		r.Errorf("members of the network: %v, %v", members, err)
	}
	if err := r.Engine.RemoveNetwork(r.Context(), n.ID); err == nil {
		r.Error("a network with a running container was removed")
	}
	r.must(r.Engine.StopContainer(r.Context(), id, time.Second))
	r.shows(id, engine.StateExited)
	r.must(r.Engine.StopContainer(r.Context(), id, time.Second))
	detail, err := r.Engine.Inspect(r.Context(), id)
	if err != nil || detail.EndedAt.IsZero() || !detail.StartedAt.Equal(first.StartedAt) {
		r.Errorf("after its end: %+v, %v", detail, err)
	}
	r.must(r.Engine.StartContainer(r.Context(), id, nil))
	if again, err := r.Engine.Inspect(r.Context(), id); err != nil || !again.StartedAt.After(first.StartedAt) {
		r.Errorf("its second run: %+v, %v; the first was %+v", again, err, first)
	}
	r.must(r.Engine.RemoveContainer(r.Context(), id))
	r.eventually("it is gone", func() bool { _, ok := r.find(id); return !ok })
}

// drift: what was created is read back as it was declared.
func drift(r *run) {
	n := r.network("drift", 0)
	for name, declare := range map[string]func(*state.Container){"d": func(*state.Container) {}, "p": declareProcess} {
		want := r.container(name, n.Name)
		declare(&want)
		id := r.start(want)
		have := r.observed(id)
		d := observe.Diff(want, have, map[string]string{n.Name: n.ID}, have.ImageID)
		if len(d.Recreate)+len(d.Limits)+len(d.Attach)+len(d.Detach)+len(d.Reattach) > 0 {
			r.Errorf("a container as declared differs: %+v", d)
		}
		want.Env = map[string]string{"A": "c"}
		if d := observe.Diff(want, have, map[string]string{n.Name: n.ID}, have.ImageID); len(d.Recreate) == 0 {
			r.Error("another environment is no difference")
		}
	}
	// The engine need not have GPUs until the start.
	want := r.container("g", n.Name)
	want.GPUs = state.GPUs{Count: state.AllGPUs}
	if d := observe.Diff(want, r.observed(r.create(want)), map[string]string{n.Name: n.ID}, ""); slices.ContainsFunc(d.Recreate, func(c observe.Change) bool { return c.Field != "networks."+n.Name }) {
		r.Errorf("a container with GPUs differs: %+v", d)
	}
}

// declareProcess declares what a container otherwise leaves to its image and the engine.
func declareProcess(c *state.Container) {
	c.User, c.WorkDir, c.Hostname, c.TTY, c.Stdin = "1000:1000", "/tmp", "own-name", true, true
	c.Hosts, c.Networks[0].Links = []string{"b.internal:127.0.0.1", "a.internal:::1"}, []string{"db:db.internal", "alias:own.internal"}
	c.ShmSize, c.StopGrace = 1<<20, 3*time.Second
	c.Tmpfs = []state.Tmpfs{{Target: "/tmp", Size: 1 << 20, Mode: 0o1777}, {Target: "/cache", Size: 2 << 20, Mode: 0o700}}
	c.Devices = []state.Device{{Source: "/dev/zero", Target: "/dev/own", Permissions: "r"}}
}

// ends: a container that ends while it is awaited.
func ends(r *run) {
	n := r.network("ends", 0)
	c := r.container("e", n.Name)
	c.Command = r.Ends
	id := r.start(c)
	r.shows(id, engine.StateExited)
	_, err := r.Engine.WaitReady(r.Context(), id, engine.Readiness{})
	r.want(err, engine.ErrEnded)
	if _, ok := errors.AsType[engine.EndedError](err); !ok {
		r.Errorf("%v: the exit code is not known", err)
	}
	_, err = r.Engine.WaitReady(r.Context(), id, engine.Readiness{Config: "never"})
	r.want(err, engine.ErrEnded)
}

// commands that can't be executed are told before the start, also with an init.
func commands(r *run) {
	n := r.network("commands", 0)
	for entrypoint, want := range map[string]error{NoCommand: engine.ErrNoCommand, "/" + NoCommand: engine.ErrNoCommand, Directory: engine.ErrNotExecutable} {
		for _, hasInit := range []bool{true, false} {
			c := r.container("c", n.Name)
			c.Entrypoint, c.Additions.Init = []string{entrypoint}, hasInit
			id := r.create(c)
			r.want(r.Engine.StartContainer(r.Context(), id, nil), want)
			if s, ok := r.find(id); !ok || s.State != engine.StateCreated {
				r.Errorf("%s, with init %t: it is listed as %+v", entrypoint, hasInit, s)
			}
			r.must(r.Engine.RemoveContainer(r.Context(), id))
		}
	}
}

// interruptions: what other people do to a container ends the wait for it.
func interruptions(r *run) {
	n := r.network("interruptions", 0)
	for what, c := range map[string]struct {
		do   func(name string) error
		want error
	}{
		"paused": {r.Hands.Pause, engine.ErrPaused}, "killed": {r.Hands.Kill, engine.ErrEnded}, "removed": {r.Hands.Remove, nil},
	} {
		spec := r.container(what, n.Name)
		id := r.start(spec)
		r.shows(id, engine.StateRunning)
		ctx, cancel := context.WithTimeoutCause(r.Context(), r.Within, errors.New("the wait was not interrupted"))
		waited := make(chan error, 1)
		go func() {
			_, err := r.Engine.WaitReady(ctx, id, engine.Readiness{Config: "never"})
			waited <- err
		}()
		r.must(c.do(spec.Name))
		err := <-waited
		cancel()
		if c.want == nil { // its end may be seen before its removal
			if !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrEnded) {
				r.Errorf("%s: %v", what, err)
			}
			continue
		}
		if !errors.Is(err, c.want) {
			r.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if what == "paused" {
			r.shows(id, engine.StatePaused)
			_, err := r.Engine.WaitReady(r.Context(), id, engine.Readiness{})
			r.want(err, engine.ErrPaused)
			r.must(r.Engine.UnpauseContainer(r.Context(), id))
			r.shows(id, engine.StateRunning)
			if err := r.Engine.UnpauseContainer(r.Context(), id); err == nil {
				r.Error("a container that runs was unpaused")
			}
		}
	}
}

func attachments(r *run) {
	n, other := r.network("first", 0), r.network("second", 1)
	id := r.start(r.container("a", n.Name))
	endpoints := func() map[string]bool {
		on := map[string]bool{}
		s, _ := r.find(id)
		for _, e := range s.Endpoints {
			on[e.Network] = e.ID != ""
		}
		return on
	}
	r.must(r.Engine.Connect(r.Context(), id, state.Attachment{Network: other.Name, Aliases: []string{"second-alias"}, Links: []string{"alias:own.internal"}}))
	if on := endpoints(); !on[n.Name] || !on[other.Name] {
		r.Errorf("attached to %v", on)
	}
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	i := slices.IndexFunc(detail.Container.Networks, func(a state.Attachment) bool { return a.Network == other.Name })
	if i < 0 || !slices.Equal(detail.Container.Networks[i].Aliases, []string{"second-alias"}) || !slices.Equal(detail.Container.Networks[i].Links, []string{"alias:own.internal"}) {
		r.Errorf("attachments: %+v", detail.Container.Networks)
	}
	r.must(r.Engine.Disconnect(r.Context(), other.Name, id))
	r.must(r.Engine.Disconnect(r.Context(), other.Name, id)) // not being attached is success
	if on := endpoints(); len(on) != 1 {
		r.Errorf("attached to %v", on)
	}
}

func limits(r *run) {
	n := r.network("limits", 0)
	id := r.start(r.container("l", n.Name))
	r.must(r.Engine.UpdateLimits(r.Context(), id, state.Limits{Memory: 32 << 20, NanoCPUs: 5e8, Pids: 16}))
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	if got := detail.Container.Limits; got.Memory != 32<<20 || got.NanoCPUs != 5e8 || got.Pids != 16 {
		r.Errorf("limits: %+v", got)
	}
	if used, err := r.Engine.Usage(r.Context(), id); err != nil || used.Memory <= 0 || used.MemoryLimit != 32<<20 || used.CPU <= 0 || used.Processes < 1 {
		r.Errorf("it uses %+v, %v", used, err)
	}
	r.must(r.Engine.StopContainer(r.Context(), id, 0))
	r.shows(id, engine.StateExited)
	if used, err := r.Engine.Usage(r.Context(), id); err != nil || used != (engine.Usage{}) {
		r.Errorf("after its end it uses %+v, %v", used, err)
	}
}

// missing: what is not there.
func missing(r *run) {
	n := r.network("missing", 0)
	const id = "0000000000000000000000000000000000000000000000000000000000000000"
	c := r.container("m", n.Name)
	c.Image = "bottled.example/no-such-image:1"
	_, err := r.Engine.CreateContainer(r.Context(), c)
	r.want(err, engine.ErrNotFound)
	c = r.container("m", r.Settings.Prefix+"-no-such-network")
	r.want(r.Engine.StartContainer(r.Context(), r.create(c), nil), engine.ErrNotFound) // it may be created: networks are found at its start
	c = r.container("n", n.Name)
	c.Networks = append(c.Networks, state.Attachment{Network: r.Settings.Prefix + "-no-such-network"})
	r.want(r.Engine.StartContainer(r.Context(), r.create(c), nil), engine.ErrNotFound)
	_, err = r.Engine.Inspect(r.Context(), id)
	r.want(err, engine.ErrNotFound)
	_, err = r.Engine.Usage(r.Context(), id)
	r.want(err, engine.ErrNotFound)
	_, _, err = r.Engine.ContainerOwner(r.Context(), r.Settings.Prefix+"-nobody")
	r.want(err, engine.ErrNotFound)
	r.want(r.Engine.StartContainer(r.Context(), id, nil), engine.ErrNotFound)
	_, err = r.Engine.WaitReady(r.Context(), id, engine.Readiness{})
	r.want(err, engine.ErrNotFound)
	_, err = r.Engine.Reload(r.Context(), id, "config")
	r.want(err, engine.ErrNotFound)
	r.must(r.Engine.StopContainer(r.Context(), id, 0))
	r.must(r.Engine.RemoveContainer(r.Context(), id))
	lost := r.network("lost", 1)
	created := r.create(r.container("lost", lost.Name))
	r.must(r.Engine.RemoveNetwork(r.Context(), lost.ID))
	r.want(r.Engine.StartContainer(r.Context(), created, nil), engine.ErrNotFound)
	if all, err := r.Engine.Containers(r.Context(), r.Settings.Owner, r.slug); err != nil || len(all) != 3 {
		r.Errorf("containers left: %+v, %v", all, err)
	}
}

// events come in order, and again for a listener that begins later with a time.
func events(r *run) {
	n := r.network("events", 0)
	began := time.Now()
	follow := func(since time.Time) (stop func() []engine.EventKind, seen func() []engine.EventKind) {
		ctx, cancel := context.WithCancel(r.Context())
		var mu sync.Mutex
		var kinds []engine.EventKind
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = r.Engine.Events(ctx, since, func(e engine.Event) { // ends with ctx
				if e.Owner == r.Settings.Owner && e.Slug == r.slug {
					mu.Lock()
					defer mu.Unlock()
					kinds = append(kinds, e.Kind)
				}
			})
		}()
		seen = func() []engine.EventKind {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(kinds)
		}
		return func() []engine.EventKind {
			cancel()
			<-ended
			return seen()
		}, seen
	}
	stop, seen := follow(began)
	id := r.start(r.container("e", n.Name))
	r.shows(id, engine.StateRunning)
	r.must(r.Hands.Pause(r.Settings.Prefix + "-e"))
	r.must(r.Engine.UnpauseContainer(r.Context(), id))
	r.must(r.Engine.StopContainer(r.Context(), id, time.Second))
	r.must(r.Engine.RemoveContainer(r.Context(), id))
	want := []engine.EventKind{engine.EventStarted, engine.EventPaused, engine.EventUnpaused, engine.EventEnded, engine.EventRemoved}
	inOrder := func(got []engine.EventKind) bool {
		i := 0
		for _, kind := range got {
			if i < len(want) && kind == want[i] {
				i++
			}
		}
		return i == len(want)
	}
	r.eventually("the events "+fmt.Sprint(want), func() bool { return inOrder(seen()) })
	stop()
	stop, seen = follow(began)
	r.eventually("the events come again", func() bool { return inOrder(seen()) })
	stop()
}
