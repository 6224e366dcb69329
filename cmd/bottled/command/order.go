package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// OrderOptions are the options of a command that gives the controller an order.
type OrderOptions struct {
	Streams
	Give   func(ctx context.Context, to service.Target, order reconciler.Order) (reconciler.BottleStatus, error)
	Order  reconciler.Order
	Target service.Target
	// Done is printed when the order is carried out, unless its error says that it did not help.
	Done func(to service.Target, b reconciler.BottleStatus) (string, error)
}

// Run gives the order, and prints how that ended.
func (o *OrderOptions) Run(ctx context.Context) error {
	b, err := o.Give(ctx, o.Target, o.Order)
	if err != nil {
		return err
	}
	text, err := o.Done(o.Target, b)
	if err != nil {
		return err
	}
	return o.Out.Line("%s", text)
}

// CompleteOrder completes a command that gives an order for its one argument: BOTTLE, or BOTTLE/COMPONENT where the order is for
// components, too. The command calls runF, if that is not nil, instead of running.
func CompleteOrder(f *Factory, cmd *cobra.Command, opts *OrderOptions, runF func(*OrderOptions) error) *cobra.Command {
	opts.Streams, opts.Give = f.Streams, f.Service.Order
	cmd.Args, cmd.Example = ExactlyOne("bottle"), "  bottled "+cmd.Name()+" dev"
	cmd.ValidArgsFunction = f.CompleteBottles(1)
	if opts.Order == reconciler.OrderRestart {
		cmd.Example += "\n  bottled restart dev/agent"
		cmd.ValidArgsFunction = f.CompleteTargets(1)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if opts.Target, err = ParseTarget(args[0]); err != nil {
			return err
		}
		if opts.Target.Component != "" && opts.Order != reconciler.OrderRestart {
			return exit.Usage(fmt.Errorf("%q: %s is for whole bottles: bottled %s %s", args[0], opts.Order, opts.Order, opts.Target.Bottle))
		}
		if runF != nil {
			return runF(opts)
		}
		return opts.Run(cmd.Context())
	}
	return cmd
}

// NotHealthy is the error of an order that was carried out and left the bottle in need of somebody; nil when it did not.
func NotHealthy(b reconciler.BottleStatus) error {
	if b.Healthy() {
		return nil
	}
	return fmt.Errorf("bottle %s: %s", b.Slug, report.Because(b.Reason, b.Message))
}
