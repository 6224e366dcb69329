package state

import (
	"fmt"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
)

// readBuild reads the build context, if there is one. It is bottled that reads it, so it need not be shared with the engine's
// host where bottled runs in a container.
func (in *Inputs) readBuild(m manifests.Bottle, s Settings, builds *buildcontext.Reader) (err error) {
	in.Build, err = ReadBuild(m, s, builds)
	if err != nil {
		return fmt.Errorf("spec.agent.build: %w", err)
	}
	return nil
}

// ReadBuild reads what the agent's image is built from; nil when it is not built.
func ReadBuild(m manifests.Bottle, s Settings, builds *buildcontext.Reader) (*buildcontext.Context, error) {
	if m.Spec.Agent == nil || m.Spec.Agent.Build == nil {
		return nil, nil
	}
	source := m.Spec.Agent.Build.Source()
	dir, err := filepath.EvalSymlinks(source.Dir)
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	if err := s.checkContext(dir); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	return builds.Read(source, dir)
}

// checkContext keeps the host's and bottled's own files, tokens among them, out of images. What was checked out of a repository
// is no secret of bottled's.
func (s Settings) checkContext(dir string) error {
	if err := manifests.CheckBuildContext(dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, own := range []string{s.StateDir, s.RunDir} {
		if (Within(dir, own) || Within(own, dir)) && !Within(dir, s.CheckoutDir()) {
			return fmt.Errorf("%s would put bottled's own files in %s into the image: name another directory", dir, own)
		}
	}
	return nil
}

// dockerfile is what the agent's image was made by, or a Dockerfile that makes the same.
func (d desirer) dockerfile() string {
	if d.in.Build != nil {
		return string(d.in.Build.Text)
	}
	return "FROM " + d.image + "\n"
}
