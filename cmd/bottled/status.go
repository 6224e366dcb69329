package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/state/owndir"
)

// socket is where the controller with these settings listens.
func (s *settings) socket() (string, error) {
	stateDir, err := s.stateDir()
	if err != nil {
		return "", err
	}
	runDir, err := s.runDir(stateDir)
	if err != nil {
		return "", err
	}
	if err := owndir.Check(runDir); err != nil { // another one could answer there
		return "", exitError{exitBadInput, fmt.Errorf("%w; or choose another directory with --run-dir", err)}
	}
	return filepath.Join(runDir, "controller.sock"), nil
}

func (a *app) statusCommand() *cobra.Command {
	var format output
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [SLUG…]",
		Short: "Show what runs, compared with what was declared last",
		Long: `Show what runs, compared with what was declared last. Where a controller runs it is asked; otherwise the engine is.

With --watch it goes on until it is interrupted. On a terminal the table is updated in place; elsewhere it is printed
again after every change. With -o json every change is one line (NDJSON), with -o yaml one document.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, slugs []string) error {
			if err := format.check(); err != nil {
				return err
			}
			from, err := a.lookout()
			if err != nil {
				return err
			}
			if watch {
				return a.watchStatus(cmd.Context(), from, slugs, format)
			}
			live, err := from.look(cmd.Context())
			if err != nil {
				return err
			}
			if live.Bottles, err = choose(live.Bottles, slugs); err != nil {
				return err
			}
			return format.live(a.out, live)
		},
	}
	format.add(cmd.Flags())
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show every change")
	return cmd
}

func choose(all []reconciler.BottleStatus, slugs []string) ([]reconciler.BottleStatus, error) {
	if len(slugs) == 0 {
		return all, nil
	}
	var shown []reconciler.BottleStatus
	var missing []error
	for _, slug := range slugs {
		i := slices.IndexFunc(all, func(b reconciler.BottleStatus) bool { return b.Slug == slug })
		if i < 0 {
			missing = append(missing, fmt.Errorf("there is no bottle %q", slug))
			continue
		}
		shown = append(shown, all[i])
	}
	return shown, errors.Join(missing...)
}

// lookout sees the bottles: through the controller where one runs, on the engine where none does.
type lookout struct {
	controller *api.Client
	engine     func(context.Context) (reconciler.Status, error)
	pause      time.Duration // between two looks at the engine
}

func (a *app) lookout() (*lookout, error) {
	socket, err := a.settings.socket()
	if err != nil {
		return nil, err
	}
	var r *pass.Reconciler // from the first look on
	engine := func(ctx context.Context) (live reconciler.Status, err error) {
		if r == nil {
			if r, err = a.connect(ctx); err != nil {
				return live, err
			}
		}
		gaps := askGaps(ctx, r)
		live.Bottles, err = r.Status(ctx)
		answer := <-gaps
		live.Warnings = answer.gaps
		return live, errors.Join(err, answer.err)
	}
	return &lookout{controller: api.Dial(socket), engine: engine, pause: 2 * time.Second}, nil
}

func (l *lookout) look(ctx context.Context) (reconciler.Status, error) {
	live, err := l.controller.Status(ctx)
	if errors.Is(err, api.ErrNoController) {
		return l.engine(ctx)
	}
	return live, err
}

// follow calls tell with the status, at once and whenever it may have changed, until ctx ends. The controller may come and
// go meanwhile. What else is in the way goes to trouble, unless nothing could be told yet: then follow fails.
func (l *lookout) follow(ctx context.Context, tell func(reconciler.Status) error, trouble func(error)) error {
	var failed error
	told := 0
	see := func(live reconciler.Status) error {
		told++
		failed = tell(live)
		return failed
	}
	for {
		before, pause := told, l.pause
		err := l.controller.Watch(ctx, see)
		streamed := told > before
		if errors.Is(err, api.ErrNoController) {
			err = l.seeEngine(ctx, see)
		}
		switch {
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return nil
		case err != nil && told == 0:
			return err
		case streamed: // and ended: see at once who is there now
			pause /= 10
		case err != nil:
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (l *lookout) seeEngine(ctx context.Context, see func(reconciler.Status) error) error {
	live, err := l.engine(ctx)
	if err != nil {
		return err
	}
	return see(live)
}
