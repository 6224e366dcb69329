package docker

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state/engine"
)

// defaultPath is the PATH that Docker gives to a container whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// checkCommand returns an error for a command that the engine's init could not execute. Without an init the runtime finds out itself and
// does not start the container. With one the container starts, and ends with an exit code that programs use, too.
func (e *Engine) checkCommand(ctx context.Context, id string) error {
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return wrap(err, "inspect container")
	}
	if c.HostConfig.Init == nil || !*c.HostConfig.Init || c.State.Running {
		return nil
	}
	command := c.Path
	if command == contract.LauncherPath && len(c.Args) > 1 {
		command = c.Args[1]
	}
	var denied string
	for _, file := range searchPath(command, c.Config.WorkingDir, c.Config.Env) {
		switch e.lookUp(ctx, id, file) {
		case fileUsable:
			return nil
		case fileDenied:
			denied = file
		case fileMissing:
		}
	}
	if denied != "" {
		return fmt.Errorf("start container: %w: %s is no executable file", engine.ErrNotExecutable, denied)
	}
	if strings.Contains(command, "/") {
		return fmt.Errorf("start container: %w: the image has no file %s", engine.ErrNoCommand, command)
	}
	return fmt.Errorf("start container: %w: %q is not in the image's PATH (%s)", engine.ErrNoCommand, command, pathOf(c.Config.Env))
}

// searchPath lists the files that execvp tries for a command, in its order.
func searchPath(command, dir string, env []string) []string {
	if strings.Contains(command, "/") {
		return []string{joinPath(dir, command)}
	}
	var files []string
	for in := range strings.SplitSeq(pathOf(env), ":") {
		files = append(files, path.Join(joinPath(dir, in), command))
	}
	return files
}

func pathOf(env []string) string {
	if set, ok := envMap(env)["PATH"]; ok {
		return set
	}
	return defaultPath
}

// joinPath resolves a path against a working directory of a container.
func joinPath(dir, file string) string {
	if path.IsAbs(file) {
		return path.Clean(file)
	}
	return path.Join("/", dir, file)
}

// fileUse is what can be told of a file as a command.
type fileUse int

const (
	fileMissing fileUse = iota
	fileDenied          // a directory, or nobody may execute it
	fileUsable          // or unknown, such as whether this user may execute it: the start will show
)

// lookUp judges a file of a container that does not run. The engine shows it with the container's mounts, apart from tmpfs.
func (e *Engine) lookUp(ctx context.Context, id, file string) fileUse {
	stat, err := e.statResolved(ctx, id, file)
	switch {
	case errdefs.IsNotFound(err), err != nil && strings.Contains(err.Error(), "not a directory"):
		return fileMissing
	case err != nil:
		return fileUsable
	case stat.Mode.IsDir(), stat.Mode.Perm()&0o111 == 0:
		return fileDenied
	}
	return fileUsable
}

// statResolved returns what is at a path once all symbolic links are followed, which the engine resolves itself.
func (e *Engine) statResolved(ctx context.Context, id, file string) (container.PathStat, error) {
	stat, err := e.client.ContainerStatPath(ctx, id, file)
	if err == nil && stat.Mode&fs.ModeSymlink != 0 && stat.LinkTarget != "" {
		return e.client.ContainerStatPath(ctx, id, stat.LinkTarget)
	}
	return stat, err
}
