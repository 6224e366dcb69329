// Package restart is bottled restart.
package restart

import (
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*command.OrderOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restart BOTTLE[/COMPONENT]",
		Short: "Stop and start a bottle or one of its components",
		Long: `Stop and start the containers of a bottle, the agent first and last, or of one component. The containers are kept, with what an agent
wrote into its own. The running controller does it, once, also if it is restarted meanwhile.`,
	}
	return command.CompleteOrder(f, cmd, &command.OrderOptions{Order: reconciler.OrderRestart, Done: Done}, runF)
}

// Done says how the order ended.
func Done(to service.Target, b reconciler.BottleStatus) (string, error) {
	name := to.Bottle
	if to.Component != "" {
		name += "/" + string(to.Component)
	}
	return name + " restarted", command.NotHealthy(b)
}
