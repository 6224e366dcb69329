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

// createNetwork creates a network, and removes it again if it differs from the declaration: nothing may start on a network that is
// open where it should be closed. The cause is a setting of the engine, which the error names, so a retry would not help.
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
	err = fmt.Errorf("the engine created the network with other settings than declared: %s. Remove them from default-network-opts in the engine's "+
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
	return fmt.Errorf("containers that are not bottled's are on it: %s; detach them (%s): %w",
		strings.Join(members, ", "), fmt.Sprintf(r.Engine.Capabilities().Commands.Detach, s.Object, "NAME"), err)
}
