package conformance

import (
	"io"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// terminals: the log of a container with a terminal, and the connection to its first process.
func terminals(r *run) {
	n := r.network("terminals", 0)
	c := r.container("t", n.Name)
	c.TTY, c.Stdin = true, true
	id := r.create(c)
	_, err := r.Engine.Attach(r.Context(), id)
	r.want(err, engine.ErrEnded) // not yet begun
	r.must(r.Engine.StartContainer(r.Context(), id, nil))
	r.shows(id, engine.StateRunning)
	p, err := r.Engine.Attach(r.Context(), id)
	r.must(err)
	r.must(p.Resize(r.Context(), 70, 20))
	r.must(p.Close())
	r.shows(id, engine.StateRunning)
	if err := r.Engine.StreamLogs(r.Context(), id, engine.LogOptions{Tail: -1}, func(l engine.LogLine) error {
		if strings.Contains(string(l.Text), "\r") || l.At.IsZero() {
			r.Errorf("a line of its log: %q at %s", l.Text, l.At)
		}
		return nil
	}); err != nil {
		r.Error(err)
	}
	p, err = r.Engine.Attach(r.Context(), id)
	r.must(err)
	r.must(r.Engine.StopContainer(r.Context(), id, time.Second))
	r.must(p.Receive(io.Discard, io.Discard))
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	if code, err := p.Wait(r.Context()); err != nil || code != detail.ExitCode {
		r.Errorf("attached to it, it ended with %d, %v, want %d", code, err, detail.ExitCode)
	}
	r.must(p.Close())
	_, err = r.Engine.Attach(r.Context(), id)
	r.want(err, engine.ErrEnded)
}
