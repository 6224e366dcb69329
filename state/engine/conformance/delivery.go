package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

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
	starting := r.start(pipelock.Container)
	if report, err := r.Engine.Reload(r.Context(), starting, pipelock.Config); err != nil || report.Config != pipelock.Config {
		r.Errorf("while it starts: %+v, %v", report, err)
	}
	r.must(r.Engine.RemoveContainer(r.Context(), starting))
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
	id, err := r.Engine.CreateSession(r.Context(), c, nil)
	r.must(err)
	p, err := r.Engine.StartSession(r.Context(), id, c.Mounts, nil)
	r.must(err)
	code, err := p.Wait(r.Context())
	if err != nil || code != 0 {
		r.Errorf("it ended with %d, %v", code, err)
	}
	r.must(p.Close())
	r.eventually("it is removed", func() bool { _, ok := r.find(id); return !ok })
}
