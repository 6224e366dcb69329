package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
)

// Main runs a package's tests and removes what they left, even when the process is killed: a second process waits for
// the end of this one. Use it from TestMain.
func Main(m *testing.M) {
	if id := os.Getenv(watchdogEnv); id != "" {
		left, _ := io.ReadAll(os.Stdin) // until the tests' process is gone
		if err := sweep(id, string(left)); err != nil {
			fmt.Fprintln(os.Stderr, "harness: clean up:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	wait, err := watchdog()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness: start the watchdog:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := wait(); err != nil {
		fmt.Fprintln(os.Stderr, "harness: clean up:", err)
		code = 1
	}
	os.Exit(code)
}

func watchdog() (wait func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), watchdogEnv+"="+runID)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	watchdogInput = stdin
	return func() error { return errors.Join(stdin.Close(), cmd.Wait()) }, nil
}

// sweep ends the processes of one test process and removes its containers, networks and volumes, and what it told the watchdog.
func sweep(id, left string) error {
	told := map[string][]string{}
	for line := range strings.Lines(left) {
		kind, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		told[kind] = append(told[kind], name)
	}
	// The processes first, since a controller would make again what is removed; then the containers, which write into
	// the directories.
	failed := []error{killMarked("BOTTLED_TEST_RUN=" + id), sweepEngine(id, told["image"])}
	for _, dir := range told["engine"] {
		failed = append(failed, removeEngine(dir))
	}
	for _, dir := range told["directory"] {
		failed = append(failed, os.RemoveAll(dir))
	}
	return errors.Join(failed...)
}

// sweepEngine removes from the default engine what one test process made there.
func sweepEngine(id string, images []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Ping(ctx); err != nil {
		return nil //nolint:nilerr // without an engine there is nothing on it
	}
	failed := []error{removeOwned(ctx, c, func(owner string) bool { return strings.HasPrefix(owner, id) }), removeBuilt(ctx, c, id)}
	for _, ref := range images {
		// Without force: an image that somebody else's container uses stays.
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// killMarked kills every process with an entry in its environment, and waits until none is left.
func killMarked(entry string) error {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found, err := marked(entry)
		if err != nil || len(found) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of a test can't be killed", found)
		}
		for _, pid := range found {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
	}
}

func marked(entry string) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended, or is another user's and so not a test's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), entry) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func removeOwned(ctx context.Context, c *client.Client, mine func(owner string) bool) error {
	all, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", state.LabelOwner))})
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range all {
		if mine(s.Labels[state.LabelOwner]) {
			if err := c.ContainerRemove(ctx, s.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !errdefs.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
	}
	nets, err := c.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("label", state.LabelOwner))})
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	for _, n := range nets {
		if mine(n.Labels[state.LabelOwner]) {
			if err := c.NetworkRemove(ctx, n.ID); err != nil && !errdefs.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(append(failed, removeVolumes(ctx, c, mine))...)
}

func removeVolumes(ctx context.Context, c *client.Client, mine func(owner string) bool) error {
	all, err := c.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", state.LabelOwner))})
	if err != nil {
		return err
	}
	var failed []error
	for _, v := range all.Volumes {
		if mine(v.Labels[state.LabelOwner]) {
			if err := c.VolumeRemove(ctx, v.Name, false); err != nil && !errdefs.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}
