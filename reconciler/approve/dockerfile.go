package approve

import (
	"fmt"
	"path/filepath"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
)

// dockerfileWish replaces the Dockerfile of the agent's image by that of a capability-block.
func dockerfileWish(p queue.Proposal, b v1alpha1.Bottle) (wish, error) {
	if b.Spec.Agent == nil || b.Spec.Agent.Build == nil {
		return wish{}, blockedBy("the agent's image is not built by bottled: spec.agent.build is not declared")
	}
	w := wish{file: dockerfileOf(*b.Spec.Agent.Build), content: &p.Payload}
	if b.Spec.Agent.Build.Network == v1alpha1.BuildNetworkDefault {
		w.warnings = append(w.warnings, "the build reaches whatever a container without a bottle reaches: spec.agent.build.network is default")
	}
	return w, nil
}

// dockerfileOf returns the path of the Dockerfile of a build.
func dockerfileOf(b v1alpha1.Build) string {
	name := b.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	return filepath.Join(b.Context, name)
}

// keepPrevious keeps what a Dockerfile has before it is replaced, so that the agent's image can be built as before.
func (d *Desk) keepPrevious(x *decision) error {
	if x.Proposal.Tool != queue.CapabilityBlock {
		return nil
	}
	path := filepath.Join(d.Settings.ApprovalsDir(), "previous", x.Bottle, "Dockerfile")
	if err := owndir.Save(path, x.Change.Before); err != nil {
		return fmt.Errorf("%w: keep the previous Dockerfile: %w", errUnwritten, err)
	}
	return nil
}
