package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
)

// eventInterval is how long a stream of events that ended is left alone before the next one.
const eventInterval = time.Second

// EventsOptions select events.
type EventsOptions struct {
	Bottle string // all of them, and the controller's own, without one
	Since  time.Time
	Follow bool
}

// Events calls show with what happened to a bottle or to all, as far as the running controller remembers it. While it follows, the
// controller may end and start again. It ends without an error when ctx ends then.
func (s *Service) Events(ctx context.Context, o EventsOptions, show func(reconciler.Event) error) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	e := &eventReader{client: api.Dial(socket), EventsOptions: o, show: show}
	if o.Follow {
		return e.follow(ctx, func(err error) { s.Log.Warn().Err(err).Msg("events") })
	}
	events, err := e.client.Events(ctx, o.Bottle, 0)
	if errors.Is(err, api.ErrNoController) {
		return fmt.Errorf("no controller runs for owner %s, and only it remembers events: start one with bottled reconcile DIR…", s.Settings.Owner)
	}
	if err != nil {
		return err
	}
	if len(events) == 0 && o.Bottle != "" {
		return e.exists(ctx)
	}
	for _, event := range events {
		if err := e.take(event); err != nil {
			return err
		}
	}
	return nil
}

// eventReader reads events from a controller.
type eventReader struct {
	EventsOptions
	client *api.Client
	show   func(reconciler.Event) error
	last   uint64 // ID
	failed error  // of show
}

func (e *eventReader) take(event reconciler.Event) error {
	e.last = event.ID
	if event.Time.Before(e.Since) {
		return nil
	}
	e.failed = e.show(event)
	return e.failed
}

// follow shows events until ctx ends or show fails. It reports each reason for which there are none once.
func (e *eventReader) follow(ctx context.Context, report func(error)) error {
	reported := ""
	for {
		err := e.client.WatchEvents(ctx, e.Bottle, e.last, func(event reconciler.Event) error {
			reported = ""
			return e.take(event)
		})
		switch {
		case e.failed != nil:
			return e.failed
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case err != nil && reported != err.Error():
			reported = err.Error()
			report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(eventInterval):
		}
	}
}

// exists fails when the controller does not know the bottle.
func (e *eventReader) exists(ctx context.Context) error {
	status, err := e.client.Status(ctx)
	if err != nil {
		return err
	}
	_, err = status.Select([]string{e.Bottle})
	return err
}
