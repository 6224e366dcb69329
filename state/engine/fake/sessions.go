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
func (e *Engine) CreateSession(ctx context.Context, c state.Container, _ *engine.Terminal) (id string, err error) {
	err = e.write(ctx, func() error {
		id, err = e.create(c, true)
		return err
	})
	return id, err
}

// StartSession starts a session's container. Its program prints nothing.
func (e *Engine) StartSession(ctx context.Context, id string, mounts []state.Mount, _ *engine.Terminal) (engine.Process, error) {
	if err := e.StartContainer(ctx, id, mounts); err != nil {
		return nil, err
	}
	return &process{e: e, id: id}, nil
}

// Attach connects to a container's program, which prints nothing.
func (e *Engine) Attach(ctx context.Context, id string) (engine.Process, error) {
	err := e.read(ctx, func() error {
		_, err := e.running(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &process{e: e, id: id}, nil
}

// Exec runs a command that ends at once with success.
func (e *Engine) Exec(ctx context.Context, id string, _ []string, _ bool, _ *engine.Terminal) (engine.Process, error) {
	err := e.read(ctx, func() error {
		_, err := e.running(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &process{e: e}, nil
}

// StreamLogs passes the lines of a container's log to handle.
func (e *Engine) StreamLogs(ctx context.Context, id string, o engine.LogOptions, handle func(engine.LogLine) error) error {
	tail := logTail{id: id, options: o, first: true}
	for !tail.ended {
		lines, err := e.readLog(ctx, &tail)
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
	}
	return nil
}

// logTail is how far a container's log was streamed.
type logTail struct {
	id      string
	options engine.LogOptions
	first   bool
	next    int // line
	ended   bool
}

// readLog waits for new lines, or for the end of the container. A container that is removed while its log is followed ends it.
func (e *Engine) readLog(ctx context.Context, t *logTail) (lines []logLine, err error) {
	err = e.wait(ctx, func() (bool, error) {
		c, err := e.find(t.id)
		if err != nil {
			if t.first {
				return false, err
			}
			t.ended = true
			return true, nil
		}
		if t.first && t.options.Tail >= 0 {
			t.next = max(0, len(c.log)-t.options.Tail)
		}
		lines = c.log[t.next:]
		t.next = len(c.log)
		t.ended = !t.options.Follow || !c.live()
		return t.ended || len(lines) > 0, nil
	})
	t.first = false
	return lines, err
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
	code := 0
	err := p.e.wait(ctx, func() (bool, error) {
		c, err := p.e.find(p.id)
		if err != nil { // a session's is removed
			return errors.Is(err, engine.ErrNotFound), nil
		}
		code = c.run.exitCode
		return c.run.state == engine.StateExited, nil
	})
	return code, err
}

func (p *process) Close() error { return nil }
