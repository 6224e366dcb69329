package fake

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// CreateSession creates a container that is removed when it ends.
func (e *Engine) CreateSession(ctx context.Context, c state.Container, _ bool) (id string, err error) {
	err = e.write(ctx, func() error {
		id, err = e.create(c, true)
		return err
	})
	return id, err
}

// StartSession starts a session's container. Its program prints nothing.
func (e *Engine) StartSession(ctx context.Context, id string, mounts []state.Mount, _ bool) (engine.Process, error) {
	if err := e.StartContainer(ctx, id, mounts); err != nil {
		return nil, err
	}
	return &process{e: e, id: id}, nil
}

// Exec runs a command that ends at once with success.
func (e *Engine) Exec(ctx context.Context, id string, _ []string, _, _ bool) (engine.Process, error) {
	err := e.read(ctx, func() error {
		_, err := e.running(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &process{e: e}, nil
}

// StreamLogs hands over the lines of a container's log.
func (e *Engine) StreamLogs(ctx context.Context, id string, o engine.LogOptions, handle func(engine.LogLine) error) error {
	r := logReader{e: e, id: id, options: o, next: -1}
	for {
		lines, ended, err := r.read(ctx)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if l.at.Before(o.Since) {
				continue
			}
			if err := handle(engine.LogLine{At: l.at, Text: []byte(l.text + "\n")}); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
	}
}

// logReader reads a container's log piece by piece.
type logReader struct {
	e       *Engine
	id      string
	options engine.LogOptions
	next    int // line; -1 before the first read
}

// read waits for lines that were not read before, or for the end of the log.
func (r *logReader) read(ctx context.Context) (lines []logLine, ended bool, err error) {
	err = r.e.wait(ctx, func() (bool, error) {
		c, err := r.e.find(r.id)
		switch {
		case err != nil && r.next < 0:
			return false, err
		case err != nil: // it was removed meanwhile
			ended = true
			return true, nil
		case r.next < 0 && r.options.Tail >= 0:
			r.next = max(0, len(c.log)-r.options.Tail)
		}
		lines = c.log[max(r.next, 0):]
		r.next = len(c.log)
		ended = !r.options.Follow || !c.live()
		return ended || len(lines) > 0, nil
	})
	return lines, ended, err
}

// process is a session's program, or with an empty id a command that has ended.
type process struct {
	e  *Engine
	id string
}

func (p *process) Write(b []byte) (int, error) { return len(b), nil }

func (p *process) CloseWrite() error { return nil }

func (p *process) Receive(_, _ io.Writer) error { return nil }

func (p *process) Resize(context.Context, int, int) error { return nil }

func (p *process) Signal(ctx context.Context, _ syscall.Signal) error {
	if p.id == "" {
		return nil
	}
	return p.e.StopContainer(ctx, p.id, 0)
}

func (p *process) Wait(ctx context.Context) (int, error) {
	if p.id == "" {
		return 0, nil
	}
	err := p.e.wait(ctx, func() (bool, error) {
		_, err := p.e.find(p.id)
		return errors.Is(err, engine.ErrNotFound), nil
	})
	return 0, err
}

func (p *process) Close() error { return nil }
