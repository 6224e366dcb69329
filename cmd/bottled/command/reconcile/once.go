package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// The pauses between the passes of --wait-completed. Each is twice as long as the one before, so that retries of a failing agent have
// a backoff.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
)

// once makes one pass or, with --wait-completed, passes until the agents have ended, and prints the status of the bottles.
func once(ctx context.Context, opts *Options) error {
	snapshot, err := opts.Load(opts.Service, opts.Control.Paths)
	if err != nil {
		return err
	}
	if opts.WaitCompleted {
		if err := checkServices(snapshot); err != nil {
			return err
		}
	}
	result, err := makePass(ctx, opts, snapshot)
	for pause := firstPause; err == nil && opts.WaitCompleted && isUnfinished(result); pause = min(2*pause, maxPause) {
		select {
		case <-ctx.Done():
			return errors.New("interrupted: the agents have not all ended")
		case <-time.After(pause):
		}
		result, err = makePass(ctx, opts, snapshot)
	}
	for _, b := range snapshot.Bottles {
		if len(b.ListensOn()) > 0 {
			opts.Log.Warn().Str("bottle", b.Metadata.Name).Msg("nothing listens for its ports: a controller does, as long as it runs")
		}
	}
	for _, w := range result.Warnings {
		opts.Log.Warn().Msg(w)
	}
	if err != nil {
		return err
	}
	if err := opts.Output.Status(opts.Out, reconciler.Status{Bottles: result.Bottles}); err != nil {
		return err
	}
	if err := opts.Verdict(snapshot, result.Result); err != nil || !opts.WaitCompleted {
		return err
	}
	return command.AgentsVerdict(result.Bottles)
}

func makePass(ctx context.Context, opts *Options, snapshot source.Snapshot) (service.PassResult, error) {
	progress, end := opts.Progress(opts.Log)
	defer end()
	return opts.Service.Reconcile(ctx, snapshot, opts.Pass, progress)
}

// checkServices returns an error for an agent that never completes.
func checkServices(snapshot source.Snapshot) error {
	for _, b := range snapshot.Bottles {
		if b.Spec.Agent.RestartPolicy() == v1alpha1.RestartAlways {
			return exit.Invalid(fmt.Errorf("--wait-completed: the agent of bottle %s never completes: it has restart: always", b.Metadata.Name))
		}
	}
	return nil
}

// isUnfinished reports whether an agent is still to end: it runs, or it is to be tried again. A bottle that failed before its agent
// was started is not waited for.
func isUnfinished(result service.PassResult) bool {
	for _, b := range result.Bottles {
		agent := b.Agent()
		if agent == nil || agent.Ended != nil || b.Reason == reconciler.ReasonSuspend || b.Reason == reconciler.ReasonHeld {
			continue
		}
		if result.Failed[b.Slug] == nil || agent.State == engine.StateRunning || agent.State == engine.StateExited {
			return true
		}
	}
	return false
}
