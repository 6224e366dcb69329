package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// noDetach is what to type to be detached. The engine takes no for no answer: without keys it has its own, one of which
// (Ctrl-P) it then holds back until the next one is typed. So it gets some that nobody types.
const noDetach = "ctrl-^,ctrl-@,ctrl-^,ctrl-_,ctrl-^,ctrl-@,ctrl-^,ctrl-_"

// CreateSession creates a container for one session.
func (e *Engine) CreateSession(ctx context.Context, c state.Container, tty bool) (string, error) {
	if err := e.files.checkMounts(c.Mounts); err != nil {
		return "", err
	}
	config, host := toCreate(c)
	config.Tty, config.OpenStdin, config.StdinOnce = tty, true, true
	config.AttachStdin, config.AttachStdout, config.AttachStderr = true, true, true
	host.AutoRemove = true
	return e.create(ctx, c, config, host)
}

// StartSession starts a container that CreateSession made. It is attached, and its end waited for, before that: nothing is
// missed then.
func (e *Engine) StartSession(ctx context.Context, id string, mounts []state.Mount, tty bool) (engine.Process, error) {
	// Its end is waited for also when ctx ends after it has started.
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	ended, failed := e.client.ContainerWait(waits, id, container.WaitConditionNextExit)
	conn, err := e.client.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true, DetachKeys: noDetach})
	if err != nil {
		cancel()
		return nil, wrap(err, "attach to container")
	}
	p := &process{
		conn: conn, tty: tty, end: cancel,
		resize: func(ctx context.Context, size container.ResizeOptions) error {
			return e.client.ContainerResize(ctx, id, size)
		},
		signal: func(ctx context.Context, s syscall.Signal) error {
			return e.client.ContainerKill(ctx, id, fmt.Sprint(int(s)))
		},
		wait: func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case err := <-failed:
				return 0, err
			case end := <-ended:
				return int(end.StatusCode), nil
			}
		},
	}
	if err := e.StartContainer(ctx, id, mounts); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Exec runs a command in a running container.
func (e *Engine) Exec(ctx context.Context, id string, command []string, stdin, tty bool) (engine.Process, error) {
	created, err := e.client.ContainerExecCreate(ctx, id, container.ExecOptions{
		Tty: tty, AttachStdin: stdin, AttachStdout: true, AttachStderr: true, DetachKeys: noDetach, Cmd: command,
	})
	if err != nil {
		return nil, wrap(err, "run a command in container")
	}
	conn, err := e.client.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: tty})
	if err != nil {
		return nil, wrap(err, "run a command in container")
	}
	return &process{
		conn: conn, tty: tty, end: func() {},
		resize: func(ctx context.Context, size container.ResizeOptions) error {
			return e.client.ContainerExecResize(ctx, created.ID, size)
		},
		signal: func(ctx context.Context, s syscall.Signal) error {
			exec, err := e.client.ContainerExecInspect(ctx, created.ID)
			if err != nil {
				return err
			}
			return signalOnHost(exec, s)
		},
		wait: func(ctx context.Context) (int, error) { return e.execEnd(ctx, created.ID) },
	}, nil
}

// execPoll is how long to wait until the next question whether a command has ended, of which the engine tells no end.
const execPoll = 50 * time.Millisecond

func (e *Engine) execEnd(ctx context.Context, id string) (int, error) {
	for {
		exec, err := e.client.ContainerExecInspect(ctx, id)
		if err != nil || !exec.Running {
			return exec.ExitCode, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(execPoll):
		}
	}
}

// signalOnHost signals the process of a command past the engine. Its number is the engine's: here it may be another
// process', which the cgroup tells. (os.Process is a pidfd: once it is the right process it stays that.)
func signalOnHost(exec container.ExecInspect, s syscall.Signal) error {
	if !exec.Running || exec.Pid < 2 {
		return os.ErrProcessDone
	}
	process, err := os.FindProcess(exec.Pid)
	if err != nil {
		return err
	}
	defer func() { _ = process.Release() }() // never fails
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", exec.Pid))
	if err != nil {
		return err
	}
	if !strings.Contains(string(cgroup), exec.ContainerID) {
		return fmt.Errorf("process %d is not the container's here: bottled does not run where the engine does", exec.Pid)
	}
	return process.Signal(s)
}

// process is what the hijacked connection of a session or an exec leads to.
type process struct {
	conn   types.HijackedResponse
	tty    bool
	end    func()
	resize func(context.Context, container.ResizeOptions) error
	signal func(context.Context, syscall.Signal) error
	wait   func(context.Context) (int, error)
}

func (p *process) Write(b []byte) (int, error) { return p.conn.Conn.Write(b) }

func (p *process) CloseWrite() error { return p.conn.CloseWrite() }

// Receive reads the terminal's raw bytes, or else stdout and stderr in the engine's frames.
func (p *process) Receive(stdout, stderr io.Writer) error {
	var err error
	if p.tty {
		_, err = io.Copy(stdout, p.conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, p.conn.Reader)
	}
	return err
}

func (p *process) Resize(ctx context.Context, width, height int) error {
	if width < 0 || height < 0 {
		return fmt.Errorf("resize to %dx%d", width, height)
	}
	return wrap(p.resize(ctx, container.ResizeOptions{Width: uint(width), Height: uint(height)}), "resize the terminal")
}

func (p *process) Signal(ctx context.Context, s syscall.Signal) error {
	return wrap(p.signal(ctx, s), "send %s", s)
}

func (p *process) Wait(ctx context.Context) (int, error) {
	code, err := p.wait(ctx)
	return code, wrap(err, "wait for the exit code")
}

func (p *process) Close() error {
	p.end()
	return p.conn.Conn.Close()
}
