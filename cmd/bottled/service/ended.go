package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
)

// endedCodes are the exit codes of what somebody stopped or killed.
var endedCodes = []int{exit.SignalledFrom + int(syscall.SIGTERM), exit.SignalledFrom + int(syscall.SIGKILL)}

// endReportedWithin is how long the controller takes at most to report a step: the program ends before the step does.
const endReportedWithin = 3 * time.Second

// running is a container that a person's program runs in.
type running struct {
	bottle, name string
	component    state.ComponentName
	since        time.Time
}

// explainEnd returns the exit code of a program. Where the controller ended it with its container, the error has the code and says why.
func (s *Service) explainEnd(ctx context.Context, in running, code int) (int, error) {
	if !slices.Contains(endedCodes, code) {
		return code, nil
	}
	socket, err := s.Settings.socket()
	if err != nil {
		return code, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endReportedWithin)
	defer cancel()
	cause := ""
	err = api.Dial(socket).WatchEvents(ctx, in.bottle, 0, func(e reconciler.Event) error {
		if cause = in.endedBy(e); cause != "" {
			return errCarriedOut
		}
		return nil
	})
	if errors.Is(err, errCarriedOut) {
		return 0, exit.Status(code, fmt.Errorf("the controller ended %s: %s", in.name, cause))
	}
	return code, nil // it ended for another reason, or there is no controller that knows one
}

// endedBy returns the cause of an event that ended the container; "" for another event.
func (in running) endedBy(e reconciler.Event) string {
	if e.Reason != reconciler.EventStepDone || e.Component != in.component || e.Time.Before(in.since) {
		return ""
	}
	for _, action := range []plan.Action{plan.Stop, plan.Remove} {
		if cause, ok := strings.CutPrefix(e.Message, fmt.Sprintf("%s %s: ", action, in.name)); ok {
			return cause
		}
	}
	return ""
}
