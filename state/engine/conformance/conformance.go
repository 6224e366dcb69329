package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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

// Hands do to containers, by name, what other people do.
type Hands interface {
	Pause(name string) error
	Kill(name string) error
	Remove(name string) error
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	for name, test := range map[string]func(*run){
		"networks": networks, "containers": containers, "drift": drift, "ends": ends, "interruptions": interruptions, "attachments": attachments,
		"limits": limits, "missing": missing, "events": events, "files": files, "reload": reload, "images": images, "sessions": sessions,
	} {
		t.Run(name, func(t *testing.T) { test(&run{T: t, Subject: s, slug: name}) })
	}
}

// run is one test, with its own network and names.
type run struct {
	*testing.T
	Subject
	slug string
}

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *run) want(err, kind error) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Errorf("got error %v, want %v", err, kind)
	}
}

// eventually waits until a condition holds, as long as the subject allows.
func (r *run) eventually(what string, condition func() bool) {
	r.Helper()
	for deadline := time.Now().Add(r.Within); !condition(); {
		if time.Now().After(deadline) {
			r.Fatalf("not within %s: %s", r.Within, what)
		}
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (r *run) labels(role string) map[string]string {
	return map[string]string{state.LabelOwner: r.Settings.Owner, state.LabelSlug: r.slug, state.LabelRole: role, state.LabelStateDir: r.Settings.StateDir}
}

// network creates an internal network with the n-th subnet of the pool.
func (r *run) network(name string, n byte) engine.ObservedNetwork {
	r.Helper()
	made, err := r.Engine.CreateNetwork(r.Context(), r.networkOf(name, n))
	r.must(err)
	r.Cleanup(func() { r.must(r.Engine.RemoveNetwork(context.WithoutCancel(r.Context()), made.ID)) })
	return made
}

func (r *run) networkOf(name string, n byte) state.Network {
	base := r.Settings.Pool.Masked().Addr().As4()
	base[3] += 16 * n
	return state.Network{
		Name: r.Settings.Prefix + "-" + name, Subnet: netip.PrefixFrom(netip.AddrFrom4(base), 28), Internal: true, Isolated: true, Labels: r.labels("internal"),
	}
}

func (r *run) container(name, network string) state.Container {
	return state.Container{
		Name: r.Settings.Prefix + "-" + name, Image: r.Agent, Command: r.Waits, Env: map[string]string{"A": "b"}, Labels: r.labels("agent"),
		Networks: []state.Attachment{{Network: network, Aliases: []string{"alias"}}}, DNS: []string{"127.0.0.1"}, CapDrop: []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges"}, Limits: state.Limits{Memory: 64 << 20, Pids: 32}, Restart: "no",
		Log: state.Log{Driver: "json-file", Options: map[string]string{"max-size": "1m"}},
	}
}

// create creates a container that is removed at the end.
func (r *run) create(c state.Container) string {
	r.Helper()
	id, err := r.Engine.CreateContainer(r.Context(), c)
	r.must(err)
	r.Cleanup(func() { r.must(r.Engine.RemoveContainer(context.WithoutCancel(r.Context()), id)) })
	return id
}

func (r *run) start(c state.Container) string {
	r.Helper()
	id := r.create(c)
	r.must(r.Engine.StartContainer(r.Context(), id, c.Mounts))
	return id
}

// find returns what the listing shows of a container.
func (r *run) find(id string) (engine.Summary, bool) {
	r.Helper()
	all, err := r.Engine.Containers(r.Context(), r.Settings.Owner, r.slug)
	r.must(err)
	i := slices.IndexFunc(all, func(s engine.Summary) bool { return s.ID == id })
	if i < 0 {
		return engine.Summary{}, false
	}
	return all[i], true
}

func (r *run) shows(id, containerState string) {
	r.Helper()
	r.eventually("the listing shows it as "+containerState, func() bool {
		s, ok := r.find(id)
		return ok && s.State == containerState
	})
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
	r.must(r.Engine.StartContainer(r.Context(), id, nil))
	r.must(r.Engine.StartContainer(r.Context(), id, nil)) // it runs already
	r.shows(id, engine.StateRunning)
	_, err = r.Engine.WaitReady(r.Context(), id, engine.Readiness{})
	r.must(err)
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
	if err != nil || detail.EndedAt.IsZero() {
		r.Errorf("after its end: %+v, %v", detail, err)
	}
	r.must(r.Engine.RemoveContainer(r.Context(), id))
	r.eventually("it is gone", func() bool { _, ok := r.find(id); return !ok })
}

// drift: what was created is read back as it was declared.
func drift(r *run) {
	n := r.network("drift", 0)
	want := r.container("d", n.Name)
	id := r.start(want)
	s, _ := r.find(id)
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	have := observe.ObservedContainer{Summary: s, Detail: detail}
	d := observe.Diff(want, have, map[string]string{n.Name: n.ID}, s.ImageID)
	if len(d.Recreate)+len(d.Limits)+len(d.Attach)+len(d.Detach)+len(d.Reattach) > 0 {
		r.Errorf("a container as declared differs: %+v", d)
	}
	want.Env = map[string]string{"A": "c"}
	if d := observe.Diff(want, have, map[string]string{n.Name: n.ID}, s.ImageID); len(d.Recreate) == 0 {
		r.Error("another environment is no difference")
	}
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
	_, err = r.Engine.WaitReady(r.Context(), id, engine.Readiness{Config: "never"})
	r.want(err, engine.ErrEnded)
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
	r.must(r.Engine.Connect(r.Context(), other.Name, id, []string{"second-alias"}))
	if on := endpoints(); !on[n.Name] || !on[other.Name] {
		r.Errorf("attached to %v", on)
	}
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	i := slices.IndexFunc(detail.Container.Networks, func(a state.Attachment) bool { return a.Network == other.Name })
	if i < 0 || !slices.Equal(detail.Container.Networks[i].Aliases, []string{"second-alias"}) {
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

func files(r *run) {
	path := r.Settings.BottleDir(r.slug) + "/pipelock"
	dir := state.Dir{Path: path, Files: map[string]state.File{
		"a": {Content: state.NewContent([]byte("one")), Mode: 0o444}, "b": {Content: state.NewContent([]byte("two")), Mode: 0o600},
	}}
	spool := state.Dir{Path: r.Settings.QueueDir(r.slug), Spool: true}
	r.must(r.Engine.WriteFiles(r.Context(), dir))
	r.must(r.Engine.WriteFiles(r.Context(), spool))
	got, err := r.Engine.Files(r.Context(), r.slug)
	r.must(err)
	if f := got[path]; len(f) != 2 || string(f["a"].Content.Reveal()) != "one" || f["a"].Mode != 0o444 || f["b"].Mode != 0o600 {
		r.Errorf("files: %+v", got)
	}
	if _, is := got[spool.Path]; !is {
		r.Errorf("the spool is missing: %+v", got)
	}
	dir.Files = map[string]state.File{"a": {Content: state.NewContent([]byte("three")), Mode: 0o444}}
	r.must(r.Engine.WriteFiles(r.Context(), dir))
	got, err = r.Engine.Files(r.Context(), r.slug)
	r.must(err)
	if f := got[path]; len(f) != 1 || string(f["a"].Content.Reveal()) != "three" {
		r.Errorf("files: %+v", got)
	}
	r.must(r.Engine.RemoveFiles(r.Context(), r.slug))
	got, err = r.Engine.Files(r.Context(), r.slug)
	r.must(err)
	if _, is := got[spool.Path]; got[path] != nil || !is {
		r.Errorf("after the removal, of which the spool is no part: %+v", got)
	}
}

// reload: a sidecar reports what it serves after its start, and after each reload.
func reload(r *run) {
	for _, n := range r.Bottle.Networks {
		made, err := r.Engine.CreateNetwork(r.Context(), n)
		r.must(err)
		r.Cleanup(func() { r.must(r.Engine.RemoveNetwork(context.WithoutCancel(r.Context()), made.ID)) })
	}
	write := func(b state.Bottle) state.Component {
		for _, dir := range b.Dirs {
			r.must(r.Engine.WriteFiles(r.Context(), dir))
		}
		return b.Components[0]
	}
	pipelock := write(r.Bottle)
	id := r.start(pipelock.Container)
	report, err := r.Engine.WaitReady(r.Context(), id, engine.Readiness{Config: pipelock.Config})
	if err != nil || report.Config != pipelock.Config {
		r.Fatalf("after its start: %+v, %v", report, err)
	}
	changed := write(r.Changed)
	report, err = r.Engine.Reload(r.Context(), id, changed.Config)
	if err != nil || report.Config != changed.Config || changed.Config == pipelock.Config {
		r.Errorf("after a reload: %+v, %v", report, err)
	}
	last, err := r.Engine.LastReport(r.Context(), id, time.Time{})
	if err != nil || last.Config != changed.Config {
		r.Errorf("the last report: %+v, %v", last, err)
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), 200*time.Millisecond, errors.New("not ready in time"))
	defer cancel()
	if _, err := r.Engine.Reload(ctx, id, "another"); err == nil {
		r.Error("a reload is acknowledged with another configuration")
	}
}

func images(r *run) {
	got, err := r.Engine.Images(r.Context(), []string{r.Agent, "bottled.example/no-such-image:1"})
	if err != nil || len(got) != 1 || got[r.Agent] == "" {
		r.Errorf("images: %v, %v", got, err)
	}
}

// sessions: a session's container is removed when it ends.
func sessions(r *run) {
	n := r.network("sessions", 0)
	c := r.container("s", n.Name)
	c.Command, c.Labels, c.Log = r.Ends, r.labels(string(state.Session)), state.Log{Driver: "none"}
	id, err := r.Engine.CreateSession(r.Context(), c, false)
	r.must(err)
	p, err := r.Engine.StartSession(r.Context(), id, c.Mounts, false)
	r.must(err)
	code, err := p.Wait(r.Context())
	if err != nil || code != 0 {
		r.Errorf("it ended with %d, %v", code, err)
	}
	r.must(p.Close())
	r.eventually("it is removed", func() bool { _, ok := r.find(id); return !ok })
}
