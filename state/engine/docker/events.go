package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// pingTimeout limits how long an engine may take to answer a ping.
const pingTimeout = 10 * time.Second

// watchedActions are the events after which a bottle may have drifted. Excluded are exec events, which health checks cause every
// minute, and oom, which an agent can cause at any rate by child processes; if the container itself is killed, die follows.
var watchedActions = []events.Action{
	events.ActionStart, events.ActionDie, events.ActionKill, events.ActionStop, events.ActionPause, events.ActionUnPause,
	events.ActionRename, events.ActionUpdate, events.ActionDestroy, events.ActionHealthStatus,
	events.ActionConnect, events.ActionDisconnect,
}

// Ping returns nil if the engine answers, and negotiates the API version.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingTimeout, fmt.Errorf("%w within %s", engine.ErrUnavailable, pingTimeout))
	defer cancel()
	ping, err := e.client.Ping(ctx)
	switch {
	case err == nil:
		e.client.NegotiateAPIVersionPing(ping) // saves the next call a ping of its own
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, fs.ErrPermission):
		return permissionError(e.client.DaemonHost())
	case client.IsErrConnectionFailed(err):
		return unavailableError(fmt.Sprintf("no docker engine answers at %s: start it, or name another by DOCKER_HOST or DOCKER_CONTEXT", e.client.DaemonHost()))
	}
	return wrap(err, "no docker engine answers at %s", e.client.DaemonHost())
}

// Events subscribes to the engine's events, filtered by action only: network events carry no labels to filter by owner.
func (e *Engine) Events(ctx context.Context, since time.Time, handle func(engine.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filter := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)))
	for _, action := range watchedActions {
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

// eventKinds maps Docker's actions to the port's kinds of events.
var eventKinds = map[events.Action]engine.EventKind{
	events.ActionStart: engine.EventStarted, events.ActionDie: engine.EventEnded, events.ActionKill: engine.EventKillRequested,
	events.ActionStop: engine.EventStopped, events.ActionPause: engine.EventPaused, events.ActionUnPause: engine.EventUnpaused,
	events.ActionRename: engine.EventRenamed, events.ActionUpdate: engine.EventUpdated, events.ActionDestroy: engine.EventRemoved,
	events.ActionHealthStatusHealthy: engine.EventHealthy, events.ActionHealthStatusUnhealthy: engine.EventUnhealthy,
	events.ActionConnect: engine.EventConnected, events.ActionDisconnect: engine.EventDisconnected,
}

// signalHUP is the number of SIGHUP, the signal of a reload, in kill events.
const signalHUP = "1"

// fromEvent converts an event; false for one to ignore, such as a reload's.
func fromEvent(m events.Message) (engine.Event, bool) {
	about := m.Actor.Attributes
	kind, known := eventKinds[m.Action]
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
