package service

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// logService serves an engine in memory that has the pipelocks and agents of two bottles. Each logs a line at its start, a second after the one before.
func logService(t *testing.T) (*Service, *fake.Engine, map[string]string) {
	t.Helper()
	e := fake.New(fake.Options{
		Images: map[string]engine.ImageDefaults{"x": {Command: []string{"wait"}}},
		Program: func(c state.Container) fake.Program {
			return fake.Program{Says: []string{c.Name + " starts"}}
		},
	})
	root := t.TempDir()
	s := &Service{
		Settings:   Settings{Owner: "me", StateDir: root + "/state", RunDir: root + "/run", SubnetPool: state.DefaultPool.String()},
		OpenEngine: func(state.Settings) (Engine, error) { return fakeEngine{e}, nil },
	}
	ids := map[string]string{}
	for _, name := range []string{"one/agent", "two/pipelock", "one/pipelock", "two/agent"} {
		bottle, component, _ := strings.Cut(name, "/")
		id, err := e.CreateContainer(t.Context(), state.Container{Name: name, Image: "x", Labels: map[string]string{
			state.LabelOwner: "me", state.LabelSlug: bottle, state.LabelRole: component,
		}})
		if err := errors.Join(err, e.StartContainer(t.Context(), id, nil)); err != nil {
			t.Fatal(err)
		}
		ids[name] = id
		<-time.After(time.Second) // the bubble's
	}
	return s, e, ids
}

// logged returns what Logs shows.
func logged(t *testing.T, s *Service, o LogsOptions) (lines []string, err error) {
	t.Helper()
	o.Tail = -1
	err = s.Logs(t.Context(), o, func(l LogLine) error {
		text := strings.TrimSpace(string(l.Text))
		if l.Decision != nil {
			text = "decision " + string(l.Decision.Host)
		}
		lines = append(lines, fmt.Sprintf("%s/%s: %s", l.Bottle, l.Component, text))
		return nil
	})
	return lines, err
}

// TestLogs shows the lines of several components, also of several bottles, each once and in the order of time.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := logService(t)
		one, two := Target{Bottle: "one"}, Target{Bottle: "two", Component: state.Agent}
		for _, c := range []struct {
			of   []Target
			want string
		}{
			{[]Target{one}, "[one/agent: one/agent starts one/pipelock: one/pipelock starts]"},
			{[]Target{two, one, two}, "[one/agent: one/agent starts one/pipelock: one/pipelock starts two/agent: two/agent starts]"},
		} {
			if lines, err := logged(t, s, LogsOptions{Of: c.of}); err != nil || fmt.Sprint(lines) != c.want {
				t.Errorf("%v: %q, %v", c.of, lines, err)
			}
		}
		lines, err := logged(t, s, LogsOptions{Of: []Target{one, {Bottle: "one", Component: state.Supervise}, {Bottle: "three"}}})
		want := "bottle one has no supervise; it has pipelock, agent\n" + reconciler.NoBottle("three", nil).Error()
		if err == nil || err.Error() != want || lines != nil {
			t.Errorf("of what is missing: %q, %v", lines, err)
		}
	})
}

// TestPreviousLogs shows what was logged before a container was started last, and the decisions of containers that are gone.
func TestPreviousLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, e, ids := logService(t)
		both := LogsOptions{Of: []Target{{Bottle: "one"}}, Previous: true}
		if lines, err := logged(t, s, both); err == nil || !strings.HasPrefix(err.Error(), "nothing is left of earlier runs") || lines != nil {
			t.Errorf("in the first run: %q, %v", lines, err)
		}
		agent := ids["one/agent"]
		if err := e.StopContainer(t.Context(), agent, time.Second); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if err := e.StartContainer(t.Context(), agent, nil); err != nil {
			t.Fatal(err)
		}
		writeAudit(t, s, "one",
			`{"time":"2000-01-01T00:00:00Z","kind":"egress","component":"pipelock","container":"gone","host":"a.test"}`,
			`{"time":"2000-01-01T00:00:01Z","kind":"egress","component":"pipelock","container":"`+ids["one/pipelock"][:min(12, len(ids["one/pipelock"]))]+`","host":"b.test"}`,
			`{"time":"2000-01-01T00:00:02Z","kind":"request","component":"cred-proxy","container":"gone2","host":"c.test"}`)
		lines, err := logged(t, s, both)
		want := []string{"one/agent: one/agent starts", "one/pipelock: decision a.test", "one/cred-proxy: decision c.test"}
		slices.Sort(lines)
		slices.Sort(want)
		if err != nil || !slices.Equal(lines, want) {
			t.Errorf("after a restart: %q, %v", lines, err)
		}
		both.Of[0].Component = state.CredProxy
		if lines, err := logged(t, s, both); err != nil || !slices.Equal(lines, []string{"one/cred-proxy: decision c.test"}) {
			t.Errorf("of one component: %q, %v", lines, err)
		}
	})
}

// writeAudit writes a bottle's audit log.
func writeAudit(t *testing.T, s *Service, bottle string, records ...string) {
	t.Helper()
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(settings.AuditDir(), bottle)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Close(), os.WriteFile(log.Path(), []byte(strings.Join(records, "\n")+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
}
