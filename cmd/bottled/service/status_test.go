package service

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

// fakeController is a statusClient. It runs while it has a status.
type fakeController struct {
	mu      sync.Mutex
	status  *reconciler.Status
	changed chan struct{} // closed by the next change
}

// set starts the controller or changes its status; with nil it ends.
func (c *fakeController) set(status *reconciler.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
	if c.changed != nil {
		close(c.changed)
	}
	c.changed = nil
}

func (c *fakeController) get() (reconciler.Status, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == nil {
		return reconciler.Status{}, nil, api.ErrNoController
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return *c.status, c.changed, nil
}

func (c *fakeController) Status(context.Context) (reconciler.Status, error) {
	status, _, err := c.get()
	return status, err
}

func (c *fakeController) Watch(ctx context.Context, show func(reconciler.Status) error) error {
	for streamed := false; ; streamed = true {
		status, changed, err := c.get()
		if err != nil && streamed {
			return errors.New("the stream ended")
		}
		if err != nil {
			return err
		}
		if err := show(status); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func statusOf(bottle string) reconciler.Status {
	return reconciler.Status{Bottles: []reconciler.BottleStatus{apitest.Bottle(bottle, "Ready", "")}}
}

func TestStatusSourceGet(t *testing.T) {
	controller := &fakeController{}
	engineErr := error(nil)
	s := &StatusSource{controller: controller, engine: func(context.Context) (reconciler.Status, error) { return statusOf("engine"), engineErr }}
	if got, err := s.Get(t.Context()); err != nil || got.Bottles[0].Slug != "engine" {
		t.Errorf("without a controller: %+v, %v", got, err)
	}
	engineErr = errors.New("no engine")
	if _, err := s.Get(t.Context()); !errors.Is(err, engineErr) {
		t.Errorf("without both: %v", err)
	}
	status := statusOf("controlled")
	controller.set(&status)
	if got, err := s.Get(t.Context()); err != nil || got.Bottles[0].Slug != "controlled" {
		t.Errorf("with a controller: %+v, %v", got, err)
	}
}

// followed records what Follow did.
type followed struct {
	mu       sync.Mutex
	down     error // of the engine
	polls    int
	last     string
	reported []string
}

func (f *followed) with(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *followed) poll(context.Context) (status reconciler.Status, err error) {
	f.with(func() { f.polls++; status, err = statusOf("engine"), f.down })
	return status, err
}

func (f *followed) show(status reconciler.Status) error {
	f.with(func() { f.last = status.Bottles[0].Slug })
	return nil
}

func (f *followed) report(err error) { f.with(func() { f.reported = append(f.reported, err.Error()) }) }

// expect waits, and fails when something else was done meanwhile.
func (f *followed) expect(t *testing.T, after time.Duration, bottle string, polls int, reported string) {
	t.Helper()
	<-time.After(after)
	synctest.Wait()
	f.with(func() {
		if got := strings.Join(f.reported, ","); f.last != bottle || f.polls != polls || got != reported {
			t.Fatalf("%s is shown after %d polls, reported %q; want %s, %d, %q", f.last, f.polls, got, bottle, polls, reported)
		}
	})
}

// TestFollow has the controller come, go, and come back, and the engine too.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		controller, f := &fakeController{}, &followed{}
		s := &StatusSource{controller: controller, interval: 2 * time.Second, engine: f.poll}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Follow(ctx, f.show, f.report) }()
		f.expect(t, 0, "engine", 1, "")
		f.expect(t, 5*time.Second, "engine", 3, "")
		first, second, third := statusOf("first"), statusOf("second"), statusOf("third")
		controller.set(&first)
		f.expect(t, 2*time.Second, "first", 3, "")
		controller.set(&second)
		f.expect(t, 0, "second", 3, "")
		f.expect(t, time.Minute, "second", 3, "") // the engine is not polled
		controller.set(nil)
		f.expect(t, 300*time.Millisecond, "engine", 4, "")
		f.with(func() { f.down = errors.New("no engine") })
		f.expect(t, 2*time.Second, "engine", 5, "no engine")
		controller.set(&third)
		f.expect(t, 2*time.Second, "third", 5, "no engine")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("interrupted: %v", err)
		}
	})
}

func TestFollowFails(t *testing.T) {
	noEngine, noTerminal := errors.New("no engine"), errors.New("no terminal")
	controller := &fakeController{}
	s := &StatusSource{controller: controller, engine: func(context.Context) (reconciler.Status, error) { return reconciler.Status{}, noEngine }}
	report := func(err error) { t.Errorf("reported %v", err) }
	if err := s.Follow(t.Context(), func(reconciler.Status) error { return nil }, report); !errors.Is(err, noEngine) {
		t.Errorf("the first poll fails: %v", err)
	}
	status := statusOf("x")
	controller.set(&status)
	if err := s.Follow(t.Context(), func(reconciler.Status) error { return noTerminal }, report); !errors.Is(err, noTerminal) {
		t.Errorf("showing fails: %v", err)
	}
}
