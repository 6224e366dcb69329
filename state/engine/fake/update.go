package fake

import (
	"context"
	"fmt"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// UnpauseContainer resumes a paused container. What it should have done meanwhile it does now.
func (e *Engine) UnpauseContainer(ctx context.Context, id string) error {
	return e.write(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		if c.run.state != engine.StatePaused {
			return fmt.Errorf("unpause container: it is not paused: %w", engine.ErrConflict)
		}
		c.set(e.options.PauseShownAfter, func(r *run) { r.state = engine.StateRunning })
		e.emit(engine.EventUnpaused, c, "")
		e.schedule(c)
		return nil
	})
}

// UpdateLimits sets limits.
func (e *Engine) UpdateLimits(ctx context.Context, id string, l state.Limits) error {
	return e.write(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		c.spec.Limits, c.spec.Restart = l, "no"
		e.emit(engine.EventUpdated, c, "")
		return nil
	})
}
