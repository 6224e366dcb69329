package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// storm is an engine with two bottles, whose events a test makes.
type storm struct {
	engine.Engine
	events chan engine.Event

	mu    sync.Mutex
	calls int
	looks map[string][]time.Time // by bottle
}

func (s *storm) count(slug string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if slug != "" {
		s.looks[slug] = append(s.looks[slug], time.Now())
	}
}

func (s *storm) Ping(context.Context) error { return nil }

func (s *storm) Info(context.Context) (engine.Info, error) { return engine.Info{}, nil }

func (s *storm) Events(ctx context.Context, _ time.Time, tell func(engine.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-s.events:
			tell(e)
		}
	}
}

func (s *storm) Containers(_ context.Context, owner, slug string) ([]engine.Summary, error) {
	s.count(slug)
	var found []engine.Summary
	for _, name := range []string{"loud", "quiet"} {
		if slug == "" || slug == name {
			found = append(found, engine.Summary{
				ID: name, Name: "p-agent-" + name, State: engine.StateRunning,
				Labels: map[string]string{state.LabelOwner: owner, state.LabelSlug: name, state.LabelRole: string(state.Agent)},
			})
		}
	}
	return found, nil
}

func (s *storm) Networks(context.Context) ([]engine.ObservedNetwork, error) {
	s.count("")
	return nil, nil
}

func (s *storm) Volumes(context.Context, string, string) ([]engine.ObservedVolume, error) {
	s.count("")
	return nil, nil
}

func (s *storm) Images(context.Context, []string) (map[string]string, error) {
	s.count("")
	return map[string]string{}, nil
}

func (s *storm) Inspect(context.Context, string) (engine.Detail, error) {
	s.count("")
	return engine.Detail{}, nil
}

func (*storm) Capabilities() engine.Capabilities { return engine.Capabilities{} }

func (s *storm) Files(context.Context, string) (map[string]map[string]state.ObservedFile, error) {
	return nil, nil
}

// elapse lets virtual time pass.
func elapse(d time.Duration) { <-time.After(d) }

// empty is a source that declares nothing.
type empty struct{}

func (empty) Refresh(context.Context) {}

func (empty) Read() (source.Snapshot, time.Duration, error) { return source.Snapshot{}, 0, nil }

func (empty) Changes() <-chan struct{} { return nil }

func (empty) Follow([]string, safepath.Set) {}

func (empty) Warnings() []string { return nil }

func (empty) Revision() (string, error) { return "", nil }

// runStorm runs a controller on the engine until do returns.
func runStorm(t *testing.T, do func(*storm)) {
	t.Helper()
	runStormIn(t, t.TempDir(), do)
}

func runStormIn(t *testing.T, stateDir string, do func(*storm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &storm{events: make(chan engine.Event), looks: map[string][]time.Time{}}
		settings := state.Settings{Owner: "o", Prefix: "p", StateDir: stateDir, RunDir: t.TempDir(), Pool: state.DefaultPool}
		registry := prometheus.NewRegistry()
		c := NewController(ControllerConfig{
			Reconciler: &pass.Reconciler{
				Settings: settings,
				Executor: &execute.Executor{Engine: s, Settings: settings, OnProgress: func(execute.Progress) {}},
				Observer: observe.Observer{
					Engine: s, Settings: settings, Cache: observe.OpenCache(filepath.Join(settings.StateDir, "cache.json")),
					Routes: func() ([]netip.Prefix, error) { return nil, nil },
				},
				HostReversePathFilter: func() (bool, error) { return true, nil },
			},
			Source: empty{}, Prune: plan.PruneNone, Ports: &ports.Server{}, Desk: approve.New(approve.Config{Settings: settings}), Metrics: NewMetrics(registry), Registry: registry, Log: zerolog.Nop(), Resync: time.Hour,
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		elapse(10 * time.Second) // the first looks are over
		s.mu.Lock()
		s.calls = 0
		clear(s.looks)
		s.mu.Unlock()
		do(s)
		cancel()
		<-ended
	})
}

func event(kind engine.EventKind, slug string) engine.Event {
	return engine.Event{Time: time.Now(), Kind: kind, Container: slug, Owner: "o", Slug: slug}
}

// TestEventStormOfOneBottle sends a thousand events a second about one bottle for 15 s, of each kind that an agent can cause.
func TestEventStormOfOneBottle(t *testing.T) {
	for _, kind := range []engine.EventKind{engine.EventUnhealthy, engine.EventStarted, engine.EventEnded} {
		t.Run(string(kind), func(t *testing.T) {
			runStorm(t, func(s *storm) {
				began := time.Now()
				quiet := began.Add(7500 * time.Millisecond)
				for time.Since(began) < 15*time.Second {
					s.events <- event(kind, "loud")
					if time.Now().Equal(quiet) {
						s.events <- event(engine.EventConnected, "quiet")
					}
					elapse(time.Millisecond)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				passes := len(s.looks["loud"])
				t.Logf("%d passes, %d calls to the engine", passes, s.calls)
				const polls = 40 // of a death that does not show
				if passes > eventBurst+2*15+polls || s.calls > 4*(passes+5) {
					t.Errorf("15 s of events led to %d passes and %d calls to the engine", passes, s.calls)
				}
				last := began
				for i, at := range s.looks["loud"] {
					if pause := at.Sub(last); pause > eventPause+2*time.Millisecond || i == 0 && pause > 0 {
						t.Errorf("nobody looked at the bottle for %s, after %d passes", pause, i)
					}
					last = at
				}
				if looks := s.looks["quiet"]; len(looks) == 0 || !looks[0].Equal(quiet) {
					t.Errorf("the other bottle's event of %s led to looks at %v", quiet, looks)
				}
			})
		})
	}
}

// TestQuietBottleIsLookedAtAtOnce sends one event each minute: each leads to an immediate pass and to three echoes, as many as before
// there were limits.
func TestQuietBottleIsLookedAtAtOnce(t *testing.T) {
	runStorm(t, func(s *storm) {
		for range 20 {
			at := time.Now()
			s.events <- event(engine.EventConnected, "quiet")
			elapse(time.Minute)
			s.mu.Lock()
			var after []time.Duration
			for _, look := range s.looks["quiet"] {
				after = append(after, look.Sub(at))
			}
			if !slices.Equal(after, []time.Duration{0, 50 * time.Millisecond, 250 * time.Millisecond, 1050 * time.Millisecond}) {
				t.Errorf("looked at after %v", after)
			}
			clear(s.looks)
			s.mu.Unlock()
		}
	})
}

// TestControllerTrimsTheQueueOfATakenOverSupervise whose files come while the controller runs.
func TestControllerTrimsTheQueueOfATakenOverSupervise(t *testing.T) {
	stateDir := t.TempDir()
	dir := filepath.Join(stateDir, "queue", "quiet")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	runStormIn(t, stateDir, func(s *storm) {
		for i := range 2000 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.events <- event(engine.EventConnected, "quiet")
		elapse(time.Minute)
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d files are left, %v", len(left), err)
		}
	})
}

// TestEveryEventIsLookedAtUntilItMustShow sends events at random times: passes continue after the last one for as long as an engine may
// take to show the change, however they were coalesced with earlier ones.
func TestEveryEventIsLookedAtUntilItMustShow(t *testing.T) {
	runStorm(t, func(s *storm) {
		random := rand.New(rand.NewPCG(1, 2))
		for round := range 300 {
			var last time.Time
			for range 1 + random.IntN(60) {
				elapse(time.Duration(random.IntN(1<<random.IntN(11))) * time.Millisecond)
				last = time.Now()
				s.events <- event(engine.EventConnected, "quiet")
			}
			elapse(time.Duration(5+random.IntN(60)) * time.Second)
			s.mu.Lock()
			looks := s.looks["quiet"]
			after := looks[len(looks)-1].Sub(last)
			first := slices.IndexFunc(looks, func(at time.Time) bool { return !at.Before(last) })
			if delay := looks[first].Sub(last); after < time.Second || after > 5*time.Second || delay > eventPause+2*time.Millisecond {
				t.Errorf("round %d: after the last event the first look came after %s, the last after %s", round, delay, after)
			}
			clear(s.looks)
			s.mu.Unlock()
		}
	})
}
