package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// contained runs bottled in a container beside its bottles, as docs/examples/container does.
type contained struct {
	*harness.Env
	name, image, socket string
	work                string // what the agents mount
	user                []string
}

func newContained(t *testing.T) contained {
	t.Helper()
	e := harness.New(t)
	c := contained{
		Env: e, name: e.Prefix + "-controller", image: loadOwnImage(t), socket: strings.TrimPrefix(e.Client.DaemonHost(), "unix://"),
		work: filepath.Join(filepath.Dir(e.Manifests), "work"),
	}
	for _, dir := range []string{e.StateDir, e.RunDir, c.work} { // what is missing the engine would make, for root
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(c.socket)
	if err != nil {
		t.Fatal(err)
	}
	// The tests' user, who removes the files in the end, and the group that may use the socket.
	c.user = []string{
		"--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "--group-add", fmt.Sprint(info.Sys().(*syscall.Stat_t).Gid),
	}
	t.Cleanup(func() {
		if out, err := e.DockerCommand("rm", "-f", c.name).CombinedOutput(); err != nil {
			t.Errorf("remove the controller's container: %v\n%s", err, out)
		}
	})
	return c
}

// loadOwnImage loads the image that bottled makes of itself, and returns its reference.
func loadOwnImage(t *testing.T) string {
	t.Helper()
	image, err := selfimage.Of(harness.Binary(t), "bottled")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := docker.Connect(t.Context(), state.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(image.Load(context.WithoutCancel(t.Context()), engine), engine.Close()); err != nil {
		t.Fatal(err)
	}
	return image.Ref
}

// run starts the container with options of docker run in addition, and a bottled command.
func (c contained) run(options []string, command ...string) *exec.Cmd {
	args := []string{
		"run", "--name", c.name, "--label", state.LabelOwner + "=" + c.Owner + "-guest", "--network", "host", "--read-only",
		"--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER", "--security-opt", "no-new-privileges",
		"-v", c.socket + ":" + c.socket, "-e", "DOCKER_HOST=unix://" + c.socket, "-e", "BOTTLED_OWNER=" + c.Owner, "-e", "BOTTLED_PREFIX=" + c.Prefix,
		"-e", "BOTTLED_STATE_DIR=" + c.StateDir, "-e", "BOTTLED_RUN_DIR=" + c.RunDir, "-e", "BOTTLED_SUBNET_POOL=" + c.Pool,
	}
	args = append(append(args, c.user...), options...)
	return c.DockerCommand(append(append(args, c.image), command...)...)
}

// same mounts directories under the path that they have on the host.
func same(dirs ...string) []string {
	var args []string
	for _, dir := range dirs {
		args = append(args, "-v", dir+":"+dir)
	}
	return args
}

// mounting is a manifest of a bottle with every part, whose agent mounts a directory.
func mounting(slug, dir string) string {
	return whole(slug) + "    mounts: [{source: " + dir + ", target: /work, readOnly: false}]\n"
}

// TestInAContainer runs the controller in a container with the engine's socket.
func TestInAContainer(t *testing.T) {
	t.Parallel()
	c := newContained(t)
	c.Write("token", testToken+"\n")
	c.Write("one.yaml", mounting("one", c.work))
	mounts := append(same(c.StateDir, c.RunDir), "-v", c.Manifests+":"+c.Manifests+":ro", "-v", c.work+":"+c.work+":ro", "-d")
	if out, err := c.run(mounts, "reconcile", c.Manifests, "--resync", "1h").CombinedOutput(); err != nil {
		t.Fatalf("docker run: %v\n%s", err, out)
	}
	settledReady(t, c.Env, "one")
	if source := c.Docker("inspect", "-f", `{{range .Mounts}}{{if eq .Destination "/work"}}{{.Source}}{{end}}{{end}}`, c.Name(state.Agent, "one")); source != c.work {
		t.Errorf("the agent's /work is %q, want %s", source, c.work)
	}
	ids := owned(c.Env)

	// The host's files are followed through the bind mounts: with this resync nothing else would tell.
	c.Write("one.yaml", strings.Replace(mounting("one", c.work), "docs.demo.example", "new.demo.example", 1))
	c.Write("two.yaml", small("two"))
	settledReady(t, c.Env, "two")
	c.Eventually(wellWithin, "the new allowlist is served", func() (bool, string) {
		b, _ := c.Bottle("one")
		data, err := os.ReadFile(filepath.Join(c.StateDir, "bottles", "one", "pipelock", "pipelock.yaml"))
		return err == nil && strings.Contains(string(data), "new.demo.example") && b.Ready, fmt.Sprintf("%v %s\n%+v", err, data, b)
	})
	for _, id := range strings.Fields(ids) {
		if !strings.Contains(owned(c.Env), id) {
			t.Errorf("container %s of bottle one was replaced", id)
		}
	}
	// Its socket serves the commands in the container and on the host.
	inside := c.Docker("exec", c.name, "/bottled", "sync")
	if outside := strings.TrimSpace(c.Expect(exitDone, "sync").Stdout); inside != "in sync: 2 bottles" || outside != inside {
		t.Errorf("sync in the container: %s; on the host: %s", inside, outside)
	}

	ids = owned(c.Env)
	c.Docker("stop", "-t", "30", c.name)
	if ended := c.Docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", c.name); ended != "exited 0" {
		t.Errorf("after docker stop: %s\n%s", ended, c.Docker("logs", c.name))
	}
	running := c.Docker("ps", "-q", "--no-trunc", "--filter", "label="+state.LabelOwner+"="+c.Owner)
	if running != ids || len(strings.Fields(ids)) != 6 {
		t.Errorf("running after the controller: %s, before: %s, want the same six", running, ids)
	}
	// What the container made is what the host makes.
	if r := c.Expect(exitDone, "plan", "--deep", c.Manifests); !strings.Contains(r.Stdout, "No changes") {
		t.Errorf("planned on the host:\n%s", r.Stdout)
	}
}

// TestInAContainerWithoutMounts: what is not shared with the host is told with what shares it, and nothing is made.
func TestInAContainerWithoutMounts(t *testing.T) {
	t.Parallel()
	c := newContained(t)
	c.Write("token", testToken+"\n")
	c.Write("one.yaml", mounting("one", c.work))
	for name, want := range map[string]struct {
		options []string
		share   string
	}{
		"the state directory is the container's":      {same(c.RunDir, c.work), c.StateDir},
		"the state directory is a volume":             {append(same(c.RunDir, c.work), "-v", c.StateDir), c.StateDir},
		"the run directory is in memory":              {append(same(c.StateDir, c.work), "--tmpfs", c.RunDir+":mode=0700"), c.RunDir},
		"the state directory has another path":        {append(same(c.RunDir, c.work), "-v", c.StateDir+":/elsewhere", "-e", "BOTTLED_STATE_DIR=/elsewhere"), "/elsewhere"},
		"what the agent mounts is not there":          {same(c.StateDir, c.RunDir), c.work},
		"only a part of the state directory is there": {same(c.RunDir, c.work, filepath.Join(c.StateDir, "bottles")), c.StateDir},
	} {
		t.Run(name, func(t *testing.T) {
			c.refuses(t, append(want.options, "-v", c.Manifests+":"+c.Manifests+":ro"), want.share)
		})
	}
}

// refuses expects that one pass fails and says which mount is missing.
func (c contained) refuses(t *testing.T, options []string, share string) {
	t.Helper()
	out, err := c.run(append(options, "--rm"), "reconcile", "--once", c.Manifests).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(string(out), "-v "+share+":"+share) {
		t.Errorf("%v, want exit code %d and how to share %s:\n%s", err, exitFailed, share, out)
	}
	if made := owned(c.Env); made != "" {
		t.Errorf("containers were made: %s", made)
	}
}
