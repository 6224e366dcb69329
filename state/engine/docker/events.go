package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// pingLimit is how long an engine may take to say that it is there.
const pingLimit = 10 * time.Second

// watched are the events after which a bottle may not be as declared. What a health check or an exec does is left out:
// those come every minute, and change nothing. So is oom: it comes for every child that the kernel kills in a container, as often as
// an agent likes; when the container itself ends for it, that is told by die.
var watched = []events.Action{
	events.ActionStart, events.ActionDie, events.ActionKill, events.ActionStop, events.ActionPause, events.ActionUnPause,
	events.ActionRename, events.ActionUpdate, events.ActionDestroy, events.ActionHealthStatus,
	events.ActionConnect, events.ActionDisconnect,
}

// Ping asks whether the engine answers, and settles for an API version.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingLimit, fmt.Errorf("%w within %s", engine.ErrUnavailable, pingLimit))
	defer cancel()
	ping, err := e.client.Ping(ctx)
	switch {
	case err == nil:
		e.client.NegotiateAPIVersionPing(ping) // the next call would ask again
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return wrap(err, "no docker engine answers at %s", e.client.DaemonHost())
}

// Events reports what happens on the engine. The engine filters by kind, not by owner: it knows no labels of networks.
func (e *Engine) Events(ctx context.Context, since time.Time, handle func(engine.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filter := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)))
	for _, action := range watched {
		filter.Add("event", string(action))
	}
	options := events.ListOptions{Filters: filter, Since: formatTime(since)}
	messages, errs := e.client.Events(ctx, options)
	for {
		select {
		case m := <-messages:
			if event, ok := fromEvent(m); ok {
				handle(event)
			}
		case err := <-errs:
			return wrap(err, "listen to the engine's events")
		}
	}
}

// kinds translates the engine's words.
var kinds = map[events.Action]engine.EventKind{
	events.ActionStart: engine.EventStarted, events.ActionDie: engine.EventEnded, events.ActionKill: engine.EventKillRequested,
	events.ActionStop: engine.EventStopped, events.ActionPause: engine.EventPaused, events.ActionUnPause: engine.EventUnpaused,
	events.ActionRename: engine.EventRenamed, events.ActionUpdate: engine.EventUpdated, events.ActionDestroy: engine.EventRemoved,
	events.ActionHealthStatusHealthy: engine.EventHealthy, events.ActionHealthStatusUnhealthy: engine.EventUnhealthy,
	events.ActionConnect: engine.EventConnected, events.ActionDisconnect: engine.EventDisconnected,
}

// signalHUP is how the engine's events name it: the signal of a reload.
const signalHUP = "1"

// fromEvent translates an event; false for one that says nothing about a bottle.
func fromEvent(m events.Message) (engine.Event, bool) {
	about := m.Actor.Attributes
	kind, known := kinds[m.Action]
	if !known || m.Action == events.ActionKill && about["signal"] == signalHUP {
		return engine.Event{}, false
	}
	e := engine.Event{Time: time.Unix(0, m.TimeNano), Kind: kind}
	if m.Type == events.NetworkEventType {
		e.Container, e.Network = about["container"], about["name"]
		return e, true
	}
	e.Container, e.Owner, e.Slug = m.Actor.ID, about[state.LabelOwner], about[state.LabelSlug]
	return e, true
}
