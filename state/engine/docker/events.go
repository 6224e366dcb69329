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

// Events tells what happens on the engine. The engine filters by kind, not by owner: it knows no labels of networks.
func (e *Engine) Events(ctx context.Context, since time.Time, tell func(engine.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kinds := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)))
	for _, action := range watched {
		kinds.Add("event", string(action))
	}
	options := events.ListOptions{Filters: kinds, Since: formatTime(since)}
	messages, errs := e.client.Events(ctx, options)
	for {
		select {
		case m := <-messages:
			tell(fromEvent(m))
		case err := <-errs:
			return wrap(err, "listen to the engine's events")
		}
	}
}

func fromEvent(m events.Message) engine.Event {
	e := engine.Event{Time: time.Unix(0, m.TimeNano), Action: string(m.Action)}
	about := m.Actor.Attributes
	if m.Type == events.NetworkEventType {
		e.Container, e.Network = about["container"], about["name"]
		return e
	}
	e.Container, e.Owner, e.Slug, e.Signal = m.Actor.ID, about[state.LabelOwner], about[state.LabelSlug], about["signal"]
	return e
}
