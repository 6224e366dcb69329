package execute

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// createNetwork creates a network and removes it again when the engine made it otherwise: nothing is started on a network that
// is open where it should be closed. A retry changes nothing, so the error names the setting of the engine.
func (r *execution) createNetwork(ctx context.Context, n state.Network) error {
	made, err := r.Engine.CreateNetwork(ctx, n)
	if err != nil {
		return err
	}
	changes := observe.DiffNetwork(n, made)
	if len(changes) == 0 {
		return nil
	}
	differs := make([]string, len(changes))
	for i, c := range changes {
		differs[i] = fmt.Sprintf("%s is %s, want %s", c.Field, c.Before, c.After)
	}
	err = fmt.Errorf("the engine made the network otherwise than declared: %s. Remove the setting from default-network-opts in the engine's "+
		"daemon.json and restart the engine (docs/engine-defaults.md)", strings.Join(differs, "; "))
	if removeErr := r.Engine.RemoveNetwork(ctx, made.ID); removeErr != nil {
		return errors.Join(err, fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveNetwork, removeErr, n.Name))
	}
	return err
}

func (r *execution) removeNetwork(ctx context.Context, s plan.Step) error {
	err := r.Engine.RemoveNetwork(ctx, s.NetworkID)
	if err == nil {
		return nil
	}
	members, inspectErr := r.Engine.NetworkMembers(ctx, s.NetworkID)
	if inspectErr != nil || len(members) == 0 {
		return fmt.Errorf("%w; by hand: "+r.Engine.Capabilities().Commands.RemoveNetwork, err, s.Object)
	}
	return fmt.Errorf("containers that are not bottled's are on it: %s; take them off, so that it can be removed (%s): %w",
		strings.Join(members, ", "), fmt.Sprintf(r.Engine.Capabilities().Commands.Detach, s.Object, "NAME"), err)
}
