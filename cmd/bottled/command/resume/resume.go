// Package resume is bottled resume.
package resume

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*command.OrderOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume BOTTLE",
		Short: "Undo suspend and cut",
		Long:  `Run a bottle as its manifest says again: undo bottled suspend and bottled cut.`,
	}
	return command.CompleteOrder(f, cmd, &command.OrderOptions{Order: reconciler.OrderResume, Done: Done}, runF)
}

// Done says how the order ended.
func Done(to service.Target, b reconciler.BottleStatus) (string, error) {
	if b.Reason == reconciler.ReasonSuspend {
		return "", fmt.Errorf("bottle %s stays suspended: take suspend: true out of its manifest", to.Bottle)
	}
	return to.Bottle + " resumed", command.NotHealthy(b)
}
