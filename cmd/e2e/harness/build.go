package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

const builtLabel = "bottled.test"

// builtHere has an image, and what a failed build leaves, go with the test process; and no other process builds the same.
var builtHere = "LABEL " + builtLabel + "=" + runID + "\n"

// DockerfileHead is how a test's Dockerfile begins.
var DockerfileHead = "FROM scratch\n" + builtHere

// Image builds an image of AgentImage, by the rest of a Dockerfile and with these files, and returns its reference.
func (e *Env) Image(name, dockerfile string, files map[string]string) string {
	e.tb.Helper()
	dir := e.tb.TempDir()
	for file, content := range files {
		e.must(os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644)) //nolint:gosec // as a user has it
	}
	ref := agentRepository + "-" + name + ":latest"
	e.build(ref, dir, "FROM "+AgentImage+"\n"+builtHere+dockerfile)
	return ref
}

// build has the docker CLI build an image of a directory's files. It needs no registry.
func (e *Env) build(ref, dir, dockerfile string) {
	e.tb.Helper()
	e.must(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600))
	e.Docker("build", "--tag", ref, dir)
}

// removeBuilt removes the images that one test process had built.
func removeBuilt(ctx context.Context, c *client.Client, id string) error {
	left, err := c.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", builtLabel+"="+id))})
	if err != nil {
		return err
	}
	var failed []error
	for _, i := range left {
		if _, err := c.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true}); err != nil && !errdefs.IsNotFound(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Context writes a build context in the directory of manifests: these files, and the demo program.
func (e *Env) Context(name string, files map[string]string) string {
	e.tb.Helper()
	dir := filepath.Join(e.Manifests, name)
	for file, content := range files {
		e.Write(filepath.Join(name, file), content)
	}
	demo, err := os.ReadFile(DemoBinary(e.tb))
	e.must(err)
	e.must(os.WriteFile(filepath.Join(dir, demoName), demo, 0o755)) //nolint:gosec // it is to be run
	return dir
}
