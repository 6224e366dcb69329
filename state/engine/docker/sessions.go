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

// noDetach is a detach key sequence that nobody types. Without one Docker uses its default, of which it swallows Ctrl-P until the next
// key.
const noDetach = "ctrl-^,ctrl-@,ctrl-^,ctrl-_,ctrl-^,ctrl-@,ctrl-^,ctrl-_"

// CreateSession creates a container for one session, which Docker removes at its end.
func (e *Engine) CreateSession(ctx context.Context, c state.Container, tty *engine.Terminal) (string, error) {
	if err := e.files.checkMounts(c.Mounts); err != nil {
		return "", err
	}
	if err := e.checkVolumes(ctx, c); err != nil { // they were prepared for the agent
		return "", err
	}
	env, err := e.imageEnv(ctx, c)
	if err != nil {
		return "", err
	}
	config, host := toCreate(c, env)
	if size := consoleSize(tty); size != nil {
		host.ConsoleSize = *size
	}
	config.Tty, config.OpenStdin, config.StdinOnce = tty != nil, true, true
	config.AttachStdin, config.AttachStdout, config.AttachStderr = true, true, true
	host.AutoRemove = true
	if err := e.launchSession(ctx, c, tty, config); err != nil {
		return "", err
	}
	return e.create(ctx, c, config, host)
}

// StartSession attaches to a container of CreateSession, subscribes to its end, and then starts it, so that no output or exit code is
// missed.
func (e *Engine) StartSession(ctx context.Context, id string, mounts []state.Mount, tty *engine.Terminal) (engine.Process, error) {
	// The end of ctx after this call must not end the wait.
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	ended, failed := e.client.ContainerWait(waits, id, container.WaitConditionNextExit)
	conn, err := e.client.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true, DetachKeys: noDetach})
	if err != nil {
		cancel()
		return nil, wrap(err, "attach to container")
	}
	p := e.attached(id, conn, waiting{ended, failed, cancel})
	p.tty, p.hasInit = tty != nil, true
	e.sizeEarly(waits, p, tty)
	if err := e.StartContainer(ctx, id, mounts); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Attach connects to the first process of a running container.
func (e *Engine) Attach(ctx context.Context, id string) (engine.Process, error) {
	c, err := e.inspectRunning(ctx, id)
	if err != nil {
		return nil, err
	}
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended, failed := e.client.ContainerWait(waits, id, container.WaitConditionNotRunning)
	conn, err := e.client.ContainerAttach(ctx, id, container.AttachOptions{
		Stream: true, Stdin: c.Config.OpenStdin, Stdout: true, Stderr: true, DetachKeys: noDetach,
	})
	if err != nil {
		cancel()
		return nil, wrap(err, "attach to container")
	}
	p := e.attached(id, conn, waiting{ended, failed, cancel})
	p.tty = c.Config.Tty
	return p, nil
}

// waiting is a wait for the end of a container.
type waiting struct {
	ended  <-chan container.WaitResponse
	failed <-chan error
	cancel func()
}

// attached returns the first process of a container.
func (e *Engine) attached(id string, conn types.HijackedResponse, w waiting) *process {
	return &process{
		conn: conn, cancelWait: w.cancel,
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
			case err := <-w.failed:
				return 0, err
			case end := <-w.ended:
				return int(end.StatusCode), nil
			}
		},
	}
}

// Exec runs a command in a running container.
func (e *Engine) Exec(ctx context.Context, id string, command []string, stdin bool, tty *engine.Terminal) (engine.Process, error) {
	command, err := e.launchCommand(ctx, id, command, tty)
	if err != nil {
		return nil, err
	}
	created, err := e.client.ContainerExecCreate(ctx, id, container.ExecOptions{
		Tty: tty != nil, ConsoleSize: consoleSize(tty), AttachStdin: stdin, AttachStdout: true, AttachStderr: true, DetachKeys: noDetach, Cmd: command,
	})
	if err != nil {
		return nil, wrap(err, "run a command in container")
	}
	conn, err := e.client.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: tty != nil, ConsoleSize: consoleSize(tty)})
	if err != nil {
		return nil, wrap(err, "run a command in container")
	}
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &process{
		conn: conn, tty: tty != nil, cancelWait: cancel,
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
		wait: func(ctx context.Context) (int, error) { return e.waitExec(ctx, created.ID) },
	}
	e.sizeEarly(waits, p, tty)
	return p, nil
}

// execPollInterval is the interval of the polls for the end of an exec'd command, for which Docker has no wait.
const execPollInterval = 50 * time.Millisecond

func (e *Engine) waitExec(ctx context.Context, id string) (int, error) {
	for {
		exec, err := e.client.ContainerExecInspect(ctx, id)
		if err != nil || !exec.Running {
			return exec.ExitCode, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(execPollInterval):
		}
	}
}

// signalOnHost signals an exec'd process directly, since Docker can't. The PID is one of the engine's namespace; that it is the same
// process here is verified by the cgroup. (os.Process is a pidfd, so the process can't change after that.)
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
		return fmt.Errorf("process %d is not the container's on this host: signals need a bottled that runs on the engine's host", exec.Pid)
	}
	return process.Signal(s)
}

// process is the hijacked connection to a session or an exec'd command.
type process struct {
	conn       types.HijackedResponse
	tty        bool
	hasInit    bool // its output may begin with a report of the engine's init
	cancelWait func()
	resize     func(context.Context, container.ResizeOptions) error
	signal     func(context.Context, syscall.Signal) error
	wait       func(context.Context) (int, error)
}

func (p *process) Write(b []byte) (int, error) { return p.conn.Conn.Write(b) }

func (p *process) CloseWrite() error { return p.conn.CloseWrite() }

// Receive copies the terminal's raw bytes, or stdout and stderr from Docker's frames.
func (p *process) Receive(stdout, stderr io.Writer) error {
	if p.tty {
		begin := &initFilter{w: stdout, done: !p.hasInit}
		_, err := io.Copy(begin, p.conn.Reader)
		return errors.Join(err, begin.flush())
	}
	begin := &initFilter{w: stderr, done: !p.hasInit}
	_, err := stdcopy.StdCopy(stdout, begin, p.conn.Reader)
	return errors.Join(err, begin.flush())
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
	p.cancelWait()
	return p.conn.Conn.Close()
}
