// Package suspend is bottled suspend.
package suspend

import (
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*command.OrderOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suspend BOTTLE",
		Short: "Stop a bottle until it is resumed",
		Long: `Stop the containers of a bottle, the agent first, and keep them. It stays suspended until bottled resume, or until its manifest changes;
not by a restart of the controller. To suspend it for good, set suspend: true in its manifest.`,
	}
	return command.CompleteOrder(f, cmd, &command.OrderOptions{Order: reconciler.OrderSuspend, Done: Done}, runF)
}

// Done says how the order ended.
func Done(to service.Target, b reconciler.BottleStatus) (string, error) {
	return to.Bottle + " suspended, until its manifest changes or: bottled resume " + to.Bottle, command.NotHealthy(b)
}
