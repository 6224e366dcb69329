package state

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests"
)

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
