package service

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
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
	var log bytes.Buffer
	s.Log = zerolog.New(&log)
	began := time.Now()
	for _, e := range []reconciler.Event{
		{ID: 1, Component: state.Session, Reason: reconciler.EventEnding, Message: "remove p-session-dev-1: an earlier one", Time: began.Add(-time.Second)},
		{ID: 2, Component: state.Agent, Reason: reconciler.EventEnding, Message: "remove p-agent-dev: it is not as declared: image", Time: began.Add(time.Second)},
		{ID: 3, Component: state.Session, Reason: reconciler.EventEnding, Message: "remove p-session-dev-1: its manifest is gone", Time: began.Add(time.Second)},
	} {
		e.Bottle = "dev"
		source.Record(e)
	}
	for name, want := range map[string]string{
		"p-session-dev-1": "its manifest is gone", "p-agent-dev": "it is not as declared: image", "p-session-dev-2": "", "p-session-dev": "",
	} {
		log.Reset()
		component := state.Session
		if name == "p-agent-dev" {
			component = state.Agent
		}
		s.explainEnd(t.Context(), running{bottle: "dev", name: name, component: component, since: began})
		if got := log.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
