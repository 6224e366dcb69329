// Package cut is bottled cut.
package cut

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*command.OrderOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cut BOTTLE",
		Short: "Take away a bottle's way out, now",
		Long: `Disconnect the sidecars of a bottle from the egress network, now. What runs goes on, without a way out, until bottled resume: whatever its
manifest says, also if that changes, is invalid or gone.`,
	}
	return command.CompleteOrder(f, cmd, &command.OrderOptions{Order: reconciler.OrderCut, Done: Done}, runF)
}

// Done says how the order ended.
func Done(to service.Target, b reconciler.BottleStatus) (string, error) {
	if !b.Cut { // a bottle that is kept as it is need not be healthy
		return "", fmt.Errorf("bottle %s is not cut off: %s", to.Bottle, report.Because(b.Reason, b.Message))
	}
	return to.Bottle + " is cut off. To undo: bottled resume " + to.Bottle, nil
}
