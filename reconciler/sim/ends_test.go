package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// hostsOf returns the hosts that pipelock of bottle a was given.
func (w *world) hostsOf() []string {
	w.t.Helper()
	data, err := w.hands.File(w.settings.BottleDir("a")+"/pipelock", filepath.Base(pipelock.ConfigFile))
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := pipelockconf.Parse(data)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(config.APIAllowlist, func(host string) bool { return !strings.HasSuffix(host, ".test") })
}

// wantHosts checks which hosts pipelock is to let through and has reported to.
func (w *world) wantHosts(when string, want ...string) {
	w.t.Helper()
	if err := w.converged(); err != nil {
		w.t.Errorf("%s: %v", when, err)
	}
	if got := w.hostsOf(); !slices.Equal(got, want) {
		w.t.Errorf("%s: %q are allowed, want %q", when, got, want)
	}
}

// grant allows a host for a time from now on.
func grant(host string, d time.Duration) v1alpha1.AllowedHost {
	return v1alpha1.AllowedHost{Host: host, Until: time.Now().UTC().Add(d)}
}

// granted declares bottle a with these hosts.
func (w *world) granted(hosts ...v1alpha1.AllowedHost) {
	a := full("a")
	a.Spec.Egress.Allowlist = append(v1alpha1.Allow("always.test"), hosts...)
	w.declare(a)
}

// TestHostsEnd: each host ends at its own time, by a reload, and nothing is restarted.
func TestHostsEnd(t *testing.T) {
	simulate(t, func(w *world) {
		began := time.Now()
		w.granted(grant("one.test", time.Hour), grant("two.test", 2*time.Hour))
		w.run(nil)
		w.settle(10 * time.Second)
		w.wantHosts("at first", "always.test", "one.test", "two.test")
		before := w.containersOf("a")
		if s, _ := w.status("a"); !s.HostsUntil.Equal(began.Add(time.Hour)) {
			t.Errorf("it doesn't say until when: %+v", s)
		}
		w.pass(time.Hour - 15*time.Second)
		w.wantHosts("before the end", "always.test", "one.test", "two.test")
		w.pass(15 * time.Second)
		w.wantHosts("after the first end", "always.test", "two.test")
		w.pass(time.Hour)
		w.wantHosts("after the second end", "always.test")
		if after := w.containersOf("a"); after != before {
			t.Errorf("the containers changed:\n%s\n%s", before, after)
		}
		w.wantEvents(0, [3]string{reconciler.EventHostEnded, "", "a host was allowed until"}, [3]string{"StepDone", "pipelock", "reload"}, [3]string{reconciler.EventHostEnded, "", ""})
		for _, e := range w.controller.Events("a", 0) {
			if e.Reason == reconciler.EventDriftFound {
				t.Errorf("an end counts as drift: %+v", e)
			}
		}
		if s, _ := w.status("a"); !s.HostsUntil.IsZero() || !s.Ready {
			t.Errorf("%+v", s)
		}
	})
}

// TestHostsEndWithoutController: what ended while no controller ran is closed by the next one, and what ends later at its time.
func TestHostsEndWithoutController(t *testing.T) {
	for _, down := range []time.Duration{time.Minute, 2 * time.Hour} {
		t.Run(fmt.Sprint(down), func(t *testing.T) {
			simulate(t, func(w *world) {
				w.granted(grant("one.test", time.Hour))
				w.run(nil)
				w.settle(10 * time.Second)
				w.end()
				time.Sleep(down)
				w.run(nil)
				w.settle(10 * time.Second)
				if down < time.Hour {
					w.wantHosts("before the end", "always.test", "one.test")
					w.pass(time.Hour)
				}
				w.wantHosts("after the end", "always.test")
			})
		})
	}
}

// TestHostExtended: an edit that prolongs or shortens the time holds.
func TestHostExtended(t *testing.T) {
	simulate(t, func(w *world) {
		w.granted(grant("one.test", time.Hour))
		w.run(nil)
		w.settle(10 * time.Second)
		w.pass(30 * time.Minute)
		w.granted(grant("one.test", time.Hour))
		w.pass(45 * time.Minute)
		w.wantHosts("prolonged", "always.test", "one.test")
		w.granted(grant("one.test", time.Minute))
		w.pass(2 * time.Minute)
		w.wantHosts("shortened", "always.test")
		w.granted(grant("one.test", time.Minute))
		w.pass(10 * time.Second)
		w.wantHosts("allowed again", "always.test", "one.test")
	})
}

// TestHostEndsInFaultyManifest: what is kept as it was declared last keeps its ends, too, also after a restart of the controller.
func TestHostEndsInFaultyManifest(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		simulate(t, func(w *world) {
			w.granted(grant("one.test", time.Hour))
			w.run(nil)
			w.settle(10 * time.Second)
			w.source.change(func(map[string]v1alpha1.Bottle) { w.source.broken = map[string]string{"a": "a comma is missing"} })
			w.pass(time.Minute)
			if restarted {
				w.run(nil)
				w.pass(time.Minute)
			}
			if got := w.hostsOf(); !slices.Equal(got, []string{"always.test", "one.test"}) {
				t.Errorf("before the end: %q", got)
			}
			w.pass(time.Hour)
			if got := w.hostsOf(); !slices.Equal(got, []string{"always.test"}) {
				t.Errorf("after the end, restarted %v: %q", restarted, got)
			}
		})
	}
}

// TestHostEndsWhileEngineIsGone: it is closed as soon as the engine answers again.
func TestHostEndsWhileEngineIsGone(t *testing.T) {
	simulate(t, func(w *world) {
		var gone atomic.Bool
		w.granted(grant("one.test", time.Hour))
		w.run(func(ctx context.Context, _ engine.Call, next func(context.Context) error) error {
			if gone.Load() {
				return engine.ErrUnavailable
			}
			return next(ctx)
		})
		w.settle(10 * time.Second)
		gone.Store(true)
		w.pass(2 * time.Hour)
		gone.Store(false)
		w.pass(2 * time.Minute)
		w.wantHosts("after the end", "always.test")
	})
}

// TestHostEndsWhilePassWaits: a pass that waits for something slow does not keep a host open.
func TestHostEndsWhilePassWaits(t *testing.T) {
	simulate(t, func(w *world) {
		w.program = func(name state.ComponentName, p *fake.Program) {
			if name == state.CredProxy {
				p.Boot = 25 * time.Second
			}
		}
		w.granted(grant("one.test", 10*time.Second))
		w.run(nil)
		w.pass(5 * time.Second)
		if s, _ := w.status("a"); s.Ready || !slices.Contains(w.hostsOf(), "one.test") {
			t.Fatalf("%+v", s)
		}
		w.pass(7 * time.Second)
		if s, _ := w.status("a"); s.Ready || !slices.Equal(w.hostsOf(), []string{"always.test"}) {
			t.Errorf("%q are allowed: %+v", w.hostsOf(), s)
		}
		w.settle(time.Minute)
	})
}
