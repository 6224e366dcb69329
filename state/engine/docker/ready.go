package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/bot-bottle/bottled/state/configreport"
	"github.com/bot-bottle/bottled/state/engine"
)

// Reload sends SIGHUP and waits for the sidecar's report that acknowledges it.
func (e *Engine) Reload(ctx context.Context, id, config string) (engine.Report, error) {
	signal := func() error {
		return wrap(e.client.ContainerKill(ctx, id, "SIGHUP"), "send SIGHUP to container")
	}
	if config == "" {
		return engine.Report{}, signal()
	}
	return e.waitWhileRunning(ctx, id, func(ctx context.Context) (engine.Report, error) {
		if err := e.awaitHandler(ctx, id); err != nil {
			return engine.Report{}, err
		}
		since := time.Now()
		if err := signal(); err != nil {
			return engine.Report{}, err
		}
		return e.awaitReport(ctx, id, since, config, configreport.CauseSignal)
	})
}

// startTime is how long after its start a sidecar handles signals at the latest. Its first report may be rotated out of its log by then.
const startTime = 10 * time.Second

// awaitHandler waits until a sidecar that has just started has reported. Until then it has no handler for the signal, which would end
// it.
func (e *Engine) awaitHandler(ctx context.Context, id string) error {
	c, err := e.inspectRunning(ctx, id)
	if err != nil {
		return err
	}
	starting := time.Until(parseTime(c.State.StartedAt).Add(startTime))
	if starting <= 0 {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	logs, err := e.openLog(limit, id, parseTime(c.State.FinishedAt), 0, true)
	if err != nil {
		return err
	}
	defer logs.Close()
	reported := false
	err = eachLine(logs, func(line string) bool {
		_, reported = configreport.Parse(line)
		return !reported
	})
	switch {
	case reported, ctx.Err() == nil && limit.Err() != nil:
		return nil
	case err == nil:
		return engine.ErrEnded
	}
	return err
}

// WaitReady waits for a sidecar's report in its log, or for the outcome of the engine's health check.
func (e *Engine) WaitReady(ctx context.Context, id string, r engine.Readiness) (engine.Report, error) {
	return e.waitWhileRunning(ctx, id, func(ctx context.Context) (engine.Report, error) {
		if r.Config != "" {
			return e.awaitReport(ctx, id, r.Since, r.Config, configreport.CauseStart)
		}
		return engine.Report{}, e.awaitHealth(ctx, id)
	})
}

func (e *Engine) awaitReport(ctx context.Context, id string, since time.Time, config, cause string) (engine.Report, error) {
	logs, err := e.openLog(ctx, id, since, 0, true)
	if err != nil {
		return engine.Report{}, err
	}
	defer logs.Close()
	return followReport(logs, since, config, cause)
}

// waitWhileRunning runs a wait for a container, and cancels it when the container ends, is paused or is removed. The end of its log
// does not suffice: Docker 20.10 does not always end it.
func (e *Engine) waitWhileRunning(ctx context.Context, id string, wait func(context.Context) (engine.Report, error)) (engine.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages, errs := e.client.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("container", id),
		filters.Arg("event", string(events.ActionDie)), filters.Arg("event", string(events.ActionPause)), filters.Arg("event", string(events.ActionDestroy)),
	)})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case m := <-messages:
			cancel(interruption(m))
		case err := <-errs:
			if ctx.Err() == nil {
				cancel(wrap(err, "watch container"))
			}
		}
	}()
	report, err := engine.Report{}, e.checkRunning(ctx, id) // covers what happened before the subscription
	if err == nil {
		report, err = wait(ctx)
	}
	if errors.Is(err, engine.ErrEnded) && context.Cause(ctx) == nil {
		// The end of the log is all that is known so far. A removal or a pause is the better explanation.
		if now := e.checkRunning(ctx, id); now != nil {
			err = now
		}
	}
	interrupted := context.Cause(ctx) // after the check, which it may have cut short
	cancel(nil)
	<-done
	if err != nil && interrupted != nil {
		err = interrupted
	}
	return report, err
}

// interruption returns the error for an event that ends a wait.
func interruption(m events.Message) error {
	switch m.Action {
	case events.ActionPause:
		return engine.ErrPaused
	case events.ActionDestroy:
		return fmt.Errorf("%w: it was removed", engine.ErrNotFound)
	}
	code, err := strconv.Atoi(m.Actor.Attributes["exitCode"])
	if err != nil {
		return fmt.Errorf("%w: exit code %q", engine.ErrEnded, m.Actor.Attributes["exitCode"])
	}
	return engine.EndedError{ExitCode: code}
}

// checkRunning returns nil for a running container, otherwise the error that ends a wait.
func (e *Engine) checkRunning(ctx context.Context, id string) error {
	_, err := e.inspectRunning(ctx, id)
	return err
}

func (e *Engine) inspectRunning(ctx context.Context, id string) (container.InspectResponse, error) {
	c, err := e.client.ContainerInspect(ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		return c, fmt.Errorf("%w: it was removed", engine.ErrNotFound)
	case err != nil:
		return c, wrap(err, "inspect container")
	case c.State.Paused:
		return c, engine.ErrPaused
	case !c.State.Running:
		return c, engine.EndedError{ExitCode: c.State.ExitCode}
	}
	return c, nil
}

// awaitHealth waits for the outcome of the health check. It inspects the container at once and after each health event.
func (e *Engine) awaitHealth(ctx context.Context, id string) error {
	messages, errs := e.client.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("container", id), filters.Arg("event", string(events.ActionHealthStatus)),
	)})
	for {
		c, err := e.inspectRunning(ctx, id)
		if err != nil {
			return err
		}
		switch checkedHealth(c.State.Health) {
		case engine.HealthUnhealthy:
			return fmt.Errorf("%w: see docker inspect %.12s", engine.ErrUnhealthy, id)
		case engine.HealthStarting:
		default:
			return nil
		}
		select {
		case <-messages:
		case err := <-errs:
			return wrap(err, "wait for the health check")
		}
	}
}
