// Package apitest has a controller without an engine, and statuses, for tests of clients of the API.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// Source is an api.Source whose status is set by the test.
type Source struct {
	// OnSync, when set, is called with each Sync's number.
	OnSync func(n int64)
	// Activities are what those who look see; nil for nothing.
	Activities chan reconciler.Activity
	// Traffics are by bottle.
	Traffics map[string]reconciler.BottleTraffic
	// OnDecide, when set, is called with each decision, and says what is wrong with it.
	OnDecide func(by, id string, decision reconciler.DecisionRequest) error
	// OnAllow, when set, is called with each host that is allowed, and returns the proposal's ID.
	OnAllow func(by, bottle string, request reconciler.AllowRequest) (string, error)
	// OnRollback, when set, is called with each rollback, and returns the proposal's ID.
	OnRollback func(by, bottle string, request reconciler.RollbackRequest) (string, error)

	mu        sync.Mutex
	live      reconciler.Status
	unready   error
	syncs     int64
	last      bool
	events    []reconciler.Event
	orders    []string
	orderedBy []string
	reviews   []reconciler.Review
	changed   map[chan struct{}]bool
}

// Status returns what was Set.
func (s *Source) Status() reconciler.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Set changes what Status returns.
func (s *Source) Set(live reconciler.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
	s.notify()
}

// Record adds an event, whose ID is greater than those of the events before.
func (s *Source) Record(e reconciler.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	s.notify()
}

// Events returns what was recorded.
func (s *Source) Events(bottle string, after uint64) []reconciler.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []reconciler.Event{}
	for _, e := range s.events {
		if e.ID > after && (bottle == "" || bottle == e.Bottle) {
			found = append(found, e)
		}
	}
	return found
}

// notify wakes the followers. The lock is held.
func (s *Source) notify() {
	for c := range s.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Changed subscribes to every Set and Record.
func (s *Source) Changed() (<-chan struct{}, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{}, 1)
	if s.changed == nil {
		s.changed = map[chan struct{}]bool{}
	}
	s.changed[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.changed, c)
	}
}

// Followers counts those that called Changed and have not ended it.
func (s *Source) Followers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changed)
}

// Sync counts.
func (s *Source) Sync(prune bool) int64 {
	s.mu.Lock()
	s.syncs++
	s.last = prune
	n := s.syncs
	s.mu.Unlock()
	if s.OnSync != nil {
		s.OnSync(n)
	}
	return n
}

// Syncs is how often Sync was called.
func (s *Source) Syncs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncs
}

// Pruned is what was given to the last Sync.
func (s *Source) Pruned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Order records the order; a bottle named "none" does not exist, and one named "odd" can't take orders.
func (s *Source) Order(_ context.Context, by, bottle string, order reconciler.Order, component state.ComponentName) error {
	switch bottle {
	case "none":
		return reconciler.NoBottle(bottle, nil)
	case "odd":
		return fmt.Errorf("%w: it is odd", reconciler.ErrOrder)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orderedBy = append(s.orderedBy, by)
	s.orders = append(s.orders, strings.TrimSuffix(string(order)+" "+bottle+"/"+string(component), "/"))
	return nil
}

// Orders returns the orders so far, as "restart dev/agent".
func (s *Source) Orders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders)
}

// OrderedBy returns whose the orders were.
func (s *Source) OrderedBy() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orderedBy)
}

// Ready returns what was given to SetReady; nil at first.
func (s *Source) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unready
}

// SetReady changes what Ready returns.
func (s *Source) SetReady(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unready = err
}

// Allow calls OnAllow.
func (s *Source) Allow(_ context.Context, by, bottle string, request reconciler.AllowRequest) (string, error) {
	if s.OnAllow == nil {
		return "", reconciler.NoBottle(bottle, nil)
	}
	return s.OnAllow(by, bottle, request)
}

// ReviewRollback finds the first review of the bottle.
func (s *Source) ReviewRollback(_ context.Context, bottle string) (reconciler.Review, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reviews {
		if r.Bottle == bottle {
			return r, nil
		}
	}
	return reconciler.Review{}, reconciler.NoBottle(bottle, nil)
}

// Rollback calls OnRollback.
func (s *Source) Rollback(_ context.Context, by, bottle string, request reconciler.RollbackRequest) (string, error) {
	if s.OnRollback == nil {
		return "", reconciler.NoBottle(bottle, nil)
	}
	return s.OnRollback(by, bottle, request)
}

// Look returns Activities.
func (s *Source) Look() (<-chan reconciler.Activity, func()) { return s.Activities, func() {} }

// Traffic finds the bottle's.
func (s *Source) Traffic(bottle string) (reconciler.BottleTraffic, error) {
	t, found := s.Traffics[bottle]
	if !found {
		return t, reconciler.NoBottle(bottle, nil)
	}
	return t, nil
}
