package approve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// previous is a Dockerfile that was replaced, for a rollback.
type previous struct {
	File    string `json:"file"`
	Content []byte `json:"content"`
}

func (d *Desk) previousPath(bottle string) string {
	return filepath.Join(d.Settings.ApprovalsDir(), "previous", bottle+".json")
}

// keepPrevious keeps what the Dockerfile had that a decision has replaced, so that the agent's image can be built as before.
func (d *Desk) keepPrevious(x *decision) error {
	replaced := x.Decision.Status == queue.Approved || x.Decision.Status == queue.Modified
	if x.Proposal.Tool != queue.CapabilityBlock || x.Change == nil || !replaced {
		return nil
	}
	data, err := json.Marshal(previous{x.Change.File, x.Change.Before})
	if err == nil {
		err = owndir.Save(d.previousPath(x.Bottle), data)
	}
	if err != nil {
		return fmt.Errorf("keep the previous Dockerfile: %w", err)
	}
	return nil
}

// rollbackWish has the Dockerfile of a bottle's agent be what it was before the last decision that replaced it.
func (d *Desk) rollbackWish(bottle string) (queue.Proposal, error) {
	var p previous
	data, err := owndir.ReadFile(d.previousPath(bottle))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return queue.Proposal{}, refuse("no Dockerfile of bottle %s is kept: none was approved yet", bottle)
	case err == nil:
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return queue.Proposal{}, fmt.Errorf("the kept Dockerfile: %s: %w", d.previousPath(bottle), err)
	}
	decl, ok := d.bottles.Declaration(bottle)
	if ok && decl.Bottle.Spec.Agent != nil && decl.Bottle.Spec.Agent.Build != nil {
		if file := dockerfileOf(*decl.Bottle.Spec.Agent.Build); file != p.File {
			return queue.Proposal{}, refuse("the agent's Dockerfile is %s now, and what is kept is of %s", file, p.File)
		}
	}
	return queue.Proposal{Tool: queue.CapabilityBlock, Payload: string(p.Content)}, nil
}
