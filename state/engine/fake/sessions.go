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
	next := 0
	for first := true; ; first = false {
		var lines []logLine
		ended := false
		err := e.wait(ctx, func() (bool, error) {
			c, err := e.find(id)
			if err != nil {
				if first {
					return false, err
				}
				ended = true
				return true, nil
			}
			if first && o.Tail >= 0 {
				next = max(0, len(c.log)-o.Tail)
			}
			lines = c.log[next:]
			next = len(c.log)
			ended = !o.Follow || !c.live()
			return ended || len(lines) > 0, nil
		})
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
