package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

// after is what a controller tells when it has completed so many syncs.
func after(syncs int64, bottles ...reconciler.BottleStatus) reconciler.Status {
	l := live(bottles...)
	l.Controller.Syncs, l.Controller.Revision = syncs, "main@sha1:1f0c"
	return l
}

func TestSync(t *testing.T) {
	ready := bottle("a", "Ready", "")
	waiting := ready
	waiting.Generation, waiting.ObservedGeneration = 2, 1
	for name, test := range map[string]struct {
		then  []reconciler.Status // what the controller tells after the request, one after the other
		out   string
		fails string
		code  int
	}{
		"in sync": {
			then: []reconciler.Status{
				after(0, ready),
				after(0, conditions(ready, 0, "looking", "")),
				after(1, conditions(ready, 0, "starting", "")),
				after(1, waiting),
				after(1, conditions(ready, 0, "", ""), bottle("b", "Suspended", "")),
			},
			out: "in sync: 2 bottles, revision main@sha1:1f0c\n",
		},
		"some are not ready": {
			then:  []reconciler.Status{after(1, bottle("a", "Failed", "no\nimage"), ready, bottle("c", "NotReady", ""))},
			fails: "2 of 3 bottles not ready: a (Failed: no image), c (NotReady)", code: exitFailed,
		},
		"never done": {
			then:  []reconciler.Status{after(0, conditions(ready, 0, "waits for its turn", "")), after(0, conditions(ready, 0, "pulls", ""), waiting)},
			fails: "not in sync after 1.5s: the resync is not done; a is being reconciled (r: pulls); a has a newer declaration that waits", code: exitFailed,
		},
		"no engine": {
			then: func() []reconciler.Status {
				l := after(0, ready)
				l.Controller.Engine = reconciler.EngineStatus{Error: "refused"}
				return []reconciler.Status{l}
			}(),
			fails: "not in sync after 1.5s: the resync is not done; engine unreachable: refused", code: exitFailed,
		},
		"engine gone since": {
			then: func() []reconciler.Status {
				l := after(1, ready)
				l.Controller.Engine = reconciler.EngineStatus{Error: "refused"}
				return []reconciler.Status{l}
			}(),
			fails: "engine unreachable: refused", code: exitFailed,
		},
		"no source": {
			then: func() []reconciler.Status {
				l := after(1, ready)
				l.Controller.SourceError = "fetch failed"
				return []reconciler.Status{l}
			}(),
			fails: "source can't be read: fetch failed", code: exitFailed,
		},
		"bad manifests": {
			then: func() []reconciler.Status {
				l := after(1, ready)
				l.Controller.Problems = []string{"x.yaml:1: no kind"}
				return []reconciler.Status{l}
			}(),
			fails: "1 problem in the manifests: x.yaml:1: no kind", code: exitBadInput,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, out, socket := testApp(t)
			a.settings.Timeout = 1500 * time.Millisecond
			c := serve(t, socket, after(0, ready))
			c.OnSync = func(int64) {
				go func() {
					for _, l := range test.then {
						c.Set(l)
						time.Sleep(150 * time.Millisecond) // longer than the server waits for more
					}
				}()
			}
			err := a.sync(t.Context(), false, false)
			if out.String() != test.out || c.Syncs() != 1 {
				t.Errorf("printed %q, %d syncs", out, c.Syncs())
			}
			expectError(t, err, test.fails, test.code)
		})
	}
}

func expectError(t *testing.T, err error, says string, code int) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	got := exitFailed
	var exit exitError
	if errors.As(err, &exit) {
		got = exit.code
	}
	if err == nil || !strings.Contains(err.Error(), says) || got != code {
		t.Errorf("%v (code %d), want %q (code %d)", err, got, says, code)
	}
}

func TestSyncNoWait(t *testing.T) {
	a, out, socket := testApp(t)
	c := serve(t, socket, after(0, bottle("a", "Failed", "")))
	if err := a.sync(t.Context(), true, true); err != nil || out.String() != "sync requested\n" || c.Syncs() != 1 || !c.Confirmed() {
		t.Errorf("%v, %q, %d syncs", err, out, c.Syncs())
	}
}

func TestSyncWithoutController(t *testing.T) {
	a, _, socket := testApp(t)
	err := a.sync(t.Context(), false, false)
	expectError(t, err, "no controller runs for owner me (socket "+socket+"): start one with bottled reconcile DIR", exitFailed)
}

// TestSyncInterrupted: the controller ends while it is waited for, or the user loses patience.
func TestSyncInterrupted(t *testing.T) {
	a, _, socket := testApp(t)
	c := serve(t, socket, after(0))
	go func() {
		for c.Followers() == 0 {
			time.Sleep(time.Millisecond)
		}
		c.stop()
	}()
	expectError(t, a.sync(t.Context(), false, false), "not in sync: the controller at "+socket, exitFailed)
	c.stop() // and wait until its socket is free

	c = serve(t, socket, after(0))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for c.Followers() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := a.sync(ctx, false, false); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
