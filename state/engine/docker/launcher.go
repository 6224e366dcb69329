package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/owndir"
)

// mountLauncher mounts bottled's executable into a container that wants it, if the engine needs it to give a terminal its size before its
// program runs.
func (e *Engine) mountLauncher(c state.Container, host *container.HostConfig) error {
	if !c.Additions.Launcher || e.files.settings.Launcher == "" || e.sizesFirst() {
		return nil
	}
	path, err := e.files.installLauncher()
	if err != nil {
		return fmt.Errorf("create container %s: %w", c.Name, err)
	}
	host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: path, Target: contract.LauncherPath, ReadOnly: true})
	return nil
}

func isLauncher(m mount.Mount) bool { return m.Target == contract.LauncherPath }

// launchSession has the launcher start a session's program, if it is mounted and the program has a terminal.
func (e *Engine) launchSession(ctx context.Context, c state.Container, tty *engine.Terminal, config *container.Config) error {
	if consoleSize(tty) == nil || e.files.settings.Launcher == "" || e.sizesFirst() {
		return nil
	}
	image, err := e.client.ImageInspect(ctx, c.Image)
	if err != nil {
		return wrap(err, "create container %s", c.Name)
	}
	defaults, err := e.imageDefaults(ctx, image.ID)
	if err != nil {
		return err
	}
	entrypoint, command := c.Entrypoint, c.Command
	if len(entrypoint) == 0 {
		entrypoint = defaults.Entrypoint
		if len(command) == 0 {
			command = defaults.Command
		}
	}
	if len(entrypoint)+len(command) > 0 { // otherwise the engine says that there is no command
		config.Entrypoint, config.Cmd = launch(entrypoint...), command
	}
	return nil
}

// launchCommand returns the command that starts another one in a running container once its terminal has a size.
func (e *Engine) launchCommand(ctx context.Context, id string, command []string, tty *engine.Terminal) ([]string, error) {
	if consoleSize(tty) == nil || e.sizesFirst() {
		return command, nil
	}
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return nil, wrap(err, "run a command in container")
	}
	for _, m := range c.Mounts {
		if m.Type == mount.TypeBind && m.Destination == contract.LauncherPath && !m.RW {
			return launch(command...), nil
		}
	}
	return command, nil // made by an earlier version
}

func launch(command ...string) []string {
	return append([]string{contract.LauncherPath, contract.LaunchCommand}, command...)
}

// installLauncher copies the launcher to the state directory, which containers can mount from wherever bottled itself is, and returns the
// copy's path. It replaces the copy of another version, which containers that run keep until they are started again.
func (f *files) installLauncher() (string, error) {
	path := f.launcherPath()
	if err := owndir.Make(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	same, err := sameContent(f.settings.Launcher, path)
	if same || err != nil {
		return path, err
	}
	data, err := os.ReadFile(f.settings.Launcher)
	if err != nil {
		return "", err
	}
	return path, owndir.WriteFile(path, data, 0o555, nil)
}

func (f *files) launcherPath() string { return filepath.Join(f.settings.StateDir, "bin", "bottled") }

// sameContent reports whether the second file has the content and mode of an installed copy of the first.
func sameContent(first, second string) (bool, error) {
	a, err := os.Open(first)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(second)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer b.Close()
	ofA, errA := a.Stat()
	ofB, errB := b.Stat()
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	if ofA.Size() != ofB.Size() || ofB.Mode() != 0o555 {
		return false, nil
	}
	return equal(a, b)
}

func equal(a, b io.Reader) (bool, error) {
	one, other := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := io.ReadFull(a, one)
		m, _ := io.ReadFull(b, other) // what fails here is shorter
		switch {
		case !bytes.Equal(one[:n], other[:m]):
			return false, nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}
