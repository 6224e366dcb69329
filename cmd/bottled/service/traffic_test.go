package service

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
)

// auditService is a service that has state and no engine.
func auditService(t *testing.T) (*Service, *bytes.Buffer) {
	t.Helper()
	root, log := t.TempDir(), &bytes.Buffer{}
	return &Service{
		Settings: Settings{Owner: "me", StateDir: root + "/state", RunDir: root + "/run", SubnetPool: state.DefaultPool.String()},
		Log:      zerolog.New(log),
	}, log
}

// hosts records which records are shown.
func hosts(shown *[]string) func(audit.Record) error {
	return func(r audit.Record) error {
		name := r.Kind
		if r.Statement != nil {
			name = string(r.Host + r.Path)
		}
		if r.Statement != nil && r.Phase == "begin" {
			name += " begun"
		}
		*shown = append(*shown, name)
		return nil
	}
}

func TestTraffic(t *testing.T) {
	s, log := auditService(t)
	writeAudit(t, s, "one",
		`{"time":"2026-01-01T00:00:01Z","kind":"egress","action":"deny","host":"a"}`,
		`{"time":"2026-01-01T00:00:03Z","kind":"egress","action":"allow","host":"b"}`,
		`{"time":"2026-01-01T00:00:04Z","kind":"request","phase":"begin","run":"r","id":1,"path":"/done"}`,
		`{"time":"2026-01-01T00:00:04Z","kind":"request","phase":"begin","run":"r","id":2,"path":"/open"}`,
		`{"time":"2026-01-01T00:00:05Z","kind":"request","phase":"end","run":"r","id":1,"path":"/done","status":"200"}`,
		"\x1b[2J no record",
		`{"time":"2026-01-01T00:00:06Z","kind":"proposal","action":"new","host":"not traffic"}`)
	writeAudit(t, s, "two",
		`{"time":"2026-01-01T00:00:02Z","kind":"egress","action":"error","host":"c"}`,
		`{"time":"2026-01-01T00:00:07Z","kind":"request","phase":"end","refused":true,"id":3,"path":"/refused"}`,
		`{"time":"2026-01-01T00:00:08Z","kind":"gap","lost":3}`)
	for want, o := range map[string]TrafficOptions{
		"a c b /done /refused gap /open begun": {},
		"a b /done /open begun":                {Bottles: []string{"one"}},
		"a /refused gap":                       {Denied: true},
		"/refused gap":                         {Since: time.Date(2026, 1, 1, 0, 0, 6, 0, time.UTC)},
	} {
		var shown []string
		if err := s.Traffic(t.Context(), o, hosts(&shown)); err != nil || strings.Join(shown, " ") != want {
			t.Errorf("%+v: %q, %v, want %q", o, shown, err, want)
		}
	}
	if !strings.Contains(log.String(), `"bottle":"one","lines":1,`) {
		t.Errorf("the log: %s", log)
	}
	err := s.Traffic(t.Context(), TrafficOptions{Bottles: []string{"three"}}, nil)
	if err == nil || !strings.Contains(err.Error(), `there is no bottle "three"`) {
		t.Errorf("%v", err)
	}
}

// TestTrafficFollows shows records as they are appended, also of a bottle that is new.
func TestTrafficFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := auditService(t)
		ctx, cancel := context.WithCancel(t.Context())
		var shown []string
		ended := make(chan error, 1)
		go func() { ended <- s.Traffic(ctx, TrafficOptions{Follow: true}, hosts(&shown)) }()
		want := []string{}
		for _, bottle := range []string{"one", "one", "two"} {
			path := filepath.Join(s.Settings.StateDir, "audit", bottle+".jsonl")
			file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if errors.Is(err, os.ErrNotExist) {
				writeAudit(t, s, bottle, `{"kind":"egress","host":"first"}`)
				want = append(want, "first")
			} else if _, err := file.WriteString(`{"kind":"egress","host":"` + bottle + "\"}\n"); err != nil || file.Close() != nil {
				t.Fatal(err)
			} else {
				want = append(want, bottle)
			}
			<-time.After(2 * trafficInterval)
			synctest.Wait()
			if !slices.Equal(shown, want) {
				t.Errorf("%q, want %q", shown, want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
