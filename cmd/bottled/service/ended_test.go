package service

import (
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// serveAPI is a service with a controller that answers until the test ends.
func serveAPI(t *testing.T, source *apitest.Source) *Service {
	t.Helper()
	s := socketService(t)
	t.Cleanup(serve(t, s, source))
	return s
}

func TestExplainEnd(t *testing.T) {
	source := &apitest.Source{}
	s := serveAPI(t, source)
	began := time.Now()
	session := running{bottle: "dev", name: "p-session-dev-1", component: state.Session, since: began}
	step := func(id uint64, component state.ComponentName, message string, at time.Time) {
		source.Record(reconciler.Event{ID: id, Bottle: "dev", Component: component, Reason: reconciler.EventStepDone, Message: message, Time: at})
	}
	step(1, state.Session, "remove p-session-dev-1: an earlier one", began.Add(-time.Second))
	step(2, state.Agent, "remove p-agent-dev: its manifest is gone", began.Add(time.Second))
	if code, err := s.explainEnd(t.Context(), session, 3); code != 3 || err != nil {
		t.Errorf("it ended by itself: %d, %v", code, err)
	}
	time.AfterFunc(50*time.Millisecond, func() { // the step ends after the program
		step(3, state.Session, "remove p-session-dev-1: its manifest is gone", time.Now())
	})
	_, err := s.explainEnd(t.Context(), session, 143)
	if err == nil || err.Error() != "the controller ended p-session-dev-1: its manifest is gone" || exit.Code(err, true) != 143 {
		t.Errorf("%v, code %d", err, exit.Code(err, true))
	}
	agent := running{bottle: "dev", name: "p-agent-dev", component: state.Agent, since: began}
	if _, err := s.explainEnd(t.Context(), agent, 137); err == nil || exit.Code(err, true) != 137 {
		t.Errorf("%v", err)
	}
	other := running{bottle: "dev", name: "p-session-dev-2", component: state.Session, since: began}
	if code, err := s.explainEnd(t.Context(), other, 137); code != 137 || err != nil {
		t.Errorf("somebody else killed it: %d, %v", code, err)
	}
}

func TestExplainEndWithoutController(t *testing.T) {
	s := &Service{Settings: Settings{Owner: "me", StateDir: t.TempDir(), RunDir: t.TempDir()}}
	if code, err := s.explainEnd(t.Context(), running{}, 137); code != 137 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
}
