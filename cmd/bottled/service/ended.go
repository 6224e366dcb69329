package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
)

// running is a container that a person's program ran in.
type running struct {
	bottle, name string
	component    state.ComponentName
	since        time.Time
}

// explainEnd logs why the controller ended a container, if it did. The program in it has ended.
func (s *Service) explainEnd(ctx context.Context, in running) {
	socket, err := s.Settings.socket()
	if err != nil {
		return // there is no controller that could have done it
	}
	events, err := api.Dial(socket).Events(context.WithoutCancel(ctx), in.bottle, 0)
	if err != nil {
		return // nobody is there who knows
	}
	for _, e := range events {
		if cause := in.endedBy(e); cause != "" {
			s.Log.Warn().Str("bottle", in.bottle).Str("component", string(in.component)).Str("reason", cause).Msg("the controller ended it")
			return
		}
	}
}

// endedBy returns the cause of an event that announced the end of the container; "" for another event.
func (in running) endedBy(e reconciler.Event) string {
	if e.Reason != reconciler.EventEnding || e.Component != in.component || e.Time.Before(in.since) {
		return ""
	}
	for _, action := range []plan.Action{plan.Stop, plan.Remove} {
		if cause, ok := strings.CutPrefix(e.Message, fmt.Sprintf("%s %s: ", action, in.name)); ok {
			return cause
		}
	}
	return ""
}
