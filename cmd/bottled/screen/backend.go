package screen

import (
	"context"
	"os/exec"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
)

// Backend is where the screen has everything from, and what carries out what its keys ask for. The Follow methods call show until ctx ends,
// over restarts of the controller, and report why there is nothing new; what they show comes as soon as it is known.
type Backend interface {
	FollowStatus(ctx context.Context, show func(reconciler.Status) error, report func(error)) error
	FollowProposals(ctx context.Context, show func(service.Proposals) error, report func(error)) error
	// FollowActivity has what the bottles use and do measured while it is followed.
	FollowActivity(ctx context.Context, show func(reconciler.Activity) error, report func(error)) error
	FollowEvents(ctx context.Context, bottle string, show func(reconciler.Event) error, report func(error)) error
	FollowLogs(ctx context.Context, bottle string, show func(service.LogLine) error, report func(error)) error
	Describe(ctx context.Context, bottle string) (Description, error)
	HostTraffic(ctx context.Context, bottle string) (reconciler.BottleTraffic, error)
	Review(ctx context.Context, id string) (reconciler.Review, error)
	// Decide, Allow and Order return when what was decided is in force or waits for others, and say how that ended.
	Decide(ctx context.Context, id string, decision reconciler.DecisionRequest) (string, error)
	Allow(ctx context.Context, bottle string, request reconciler.AllowRequest) (string, error)
	Order(ctx context.Context, to service.Target, order reconciler.Order) (string, error)
	// Command is a command of bottled itself, which takes over the terminal: a session, or an approval in an editor.
	Command(arguments ...string) *exec.Cmd
}

// Description is what is known of a bottle beyond its status.
type Description struct {
	Spec   v1alpha1.Spec
	Denied []service.Observed // what was refused and is not allowed now
	Lines  []report.Line      // what it is declared as
	// Warnings are about what could not be read.
	Warnings []string
}
