// Package activity measures what bottles use and do, while somebody looks.
package activity

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// queries is how many containers the engine is asked about at once.
const queries = 8

// Engine measures containers.
type Engine interface {
	Usage(ctx context.Context, id string) (engine.Usage, error)
}

// Requests returns what a bottle's sidecars have reported of the last minute.
type Requests func(bottle string, now time.Time) (requests, denied uint64, rejection *reconciler.Rejection)

// Meter measures containers repeatedly: what they use of processors is the difference between two measurements. Its zero value is ready.
type Meter struct {
	last map[string]sample // by the containers' names
}

type sample struct {
	at  time.Time
	cpu time.Duration
}

// measured is one container.
type measured struct {
	bottle, name string
	component    state.ComponentName
	usage        engine.Usage
	at           time.Time
	known        bool
}

// Measure measures the containers of bottles that run. What can't be measured is left out. It is not safe for concurrent use.
func (m *Meter) Measure(ctx context.Context, e Engine, bottles []reconciler.BottleStatus, requests Requests) reconciler.Activity {
	all := running(bottles)
	var group errgroup.Group
	group.SetLimit(queries)
	for i := range all {
		c := &all[i]
		group.Go(func() error {
			usage, err := e.Usage(ctx, c.name)
			c.usage, c.at, c.known = usage, time.Now(), err == nil && usage != (engine.Usage{})
			return nil
		})
	}
	_ = group.Wait() // none fails
	a := reconciler.Activity{Time: time.Now(), Bottles: map[string]reconciler.BottleActivity{}}
	for _, b := range bottles {
		one := reconciler.BottleActivity{Components: []reconciler.ComponentActivity{}}
		if requests != nil {
			one.Requests, one.Denied, one.Rejection = requests(b.Slug, a.Time)
		}
		a.Bottles[b.Slug] = one
	}
	next := map[string]sample{}
	for _, c := range all {
		if c.known {
			next[c.name] = sample{c.at, c.usage.CPU}
			a.Bottles[c.bottle] = with(a.Bottles[c.bottle], c, m.last[c.name])
		}
	}
	m.last = next
	return a
}

func running(bottles []reconciler.BottleStatus) []measured {
	var all []measured
	for _, b := range bottles {
		for _, c := range b.Components {
			if c.State == engine.StateRunning {
				all = append(all, measured{bottle: b.Slug, name: c.Name, component: c.Component})
			}
		}
	}
	return all
}

// with adds a container to what its bottle uses. A container that was started anew has used less than before.
func with(b reconciler.BottleActivity, c measured, before sample) reconciler.BottleActivity {
	one := reconciler.ComponentActivity{Component: c.component, Memory: c.usage.Memory, MemoryLimit: c.usage.MemoryLimit, Processes: c.usage.Processes}
	if elapsed := c.at.Sub(before.at); !before.at.IsZero() && elapsed > 0 && c.usage.CPU >= before.cpu {
		one.CPU = float64(c.usage.CPU-before.cpu) / float64(elapsed)
	}
	limit := b.MemoryLimit + one.MemoryLimit
	if one.MemoryLimit == 0 || len(b.Components) > 0 && b.MemoryLimit == 0 {
		limit = 0
	}
	b.CPU, b.Memory, b.MemoryLimit = b.CPU+one.CPU, b.Memory+one.Memory, limit
	b.Components = append(b.Components, one)
	return b
}

const (
	// Interval is the pause between two measurements.
	Interval = 2 * time.Second
	// firstInterval is that after the first one, which knows nothing of processors.
	firstInterval = 500 * time.Millisecond
)

// Sampler measures as long as somebody looks, and no longer.
type Sampler struct {
	Engine   Engine
	Bottles  func() []reconciler.BottleStatus
	Requests Requests

	mu      sync.Mutex
	lookers map[chan reconciler.Activity]bool
	last    *reconciler.Activity
	stop    context.CancelFunc // nil while nobody looks
}

// Look returns a channel with the newest activity, until stop is called.
func (s *Sampler) Look() (newest <-chan reconciler.Activity, stop func()) {
	ch := make(chan reconciler.Activity, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lookers == nil {
		s.lookers = map[chan reconciler.Activity]bool{}
	}
	s.lookers[ch] = true
	if s.last != nil {
		ch <- *s.last
	}
	if s.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		s.stop = cancel
		go s.run(ctx)
	}
	return ch, func() { s.leave(ch) }
}

func (s *Sampler) leave(ch chan reconciler.Activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.lookers, ch); len(s.lookers) == 0 && s.stop != nil {
		s.stop()
		s.stop, s.last = nil, nil
	}
}

// run measures until ctx ends. A round that takes long is followed by a pause that is as long: with many containers the engine is not kept
// busy.
func (s *Sampler) run(ctx context.Context) {
	var meter Meter
	for pause := firstInterval; ; pause = Interval {
		began := time.Now()
		a := meter.Measure(ctx, s.Engine, s.Bottles(), s.Requests)
		if !s.publish(ctx, a) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, time.Since(began))):
		}
	}
}

// publish hands the newest activity to all who look; what they have not fetched is replaced. It returns false when nobody looks any more.
func (s *Sampler) publish(ctx context.Context, a reconciler.Activity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	s.last = &a
	for ch := range s.lookers {
		select {
		case <-ch:
		default:
		}
		ch <- a
	}
	return true
}
