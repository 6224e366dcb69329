package fake

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Options of an engine. The zero value is a fast engine whose containers run and say nothing.
type Options struct {
	Settings state.Settings // where files are delivered
	// Program returns what a container's first process does; nil: it runs until it is stopped.
	Program func(c state.Container) Program
	// Latency is how long each call that changes something takes, after which it has its effect.
	Latency time.Duration
	// EndShownAfter is how much later than its event a listing shows that a container ended (20.10: 200 ms), PauseShownAfter the
	// same of a pause (some milliseconds).
	EndShownAfter, PauseShownAfter time.Duration
	// Missing are capabilities that this engine lacks.
	Missing func(*engine.Capabilities)
	// Images that the engine has from the beginning, by reference.
	Images map[string]engine.ImageDefaults
	// Pull returns what a registry has; nil: nothing.
	Pull func(ref string) (engine.ImageDefaults, error)
}

// Program is what a container's first process does.
type Program struct {
	Boot time.Duration // from its start until it reports
	// Config returns what it reports to serve, from the files that it mounts, by target and name; an error is a refusal. nil: it
	// reports nothing.
	Config func(mounted map[string]map[string][]byte) (string, error)
	// Reload is how long it takes to handle a reload.
	Reload time.Duration
	// EndsAfter makes it end by itself, with ExitCode; 0: it runs on.
	EndsAfter time.Duration
	ExitCode  int
	// Health is the outcome of its health check once it booted; "" for none. Until then the outcome is "starting".
	Health string
	// StartError makes its start fail.
	StartError error
	Says       []string // log lines, at its start
}

// Engine is an engine in memory. It is safe for concurrent use.
type Engine struct {
	options Options

	mu         sync.Mutex
	sequence   int
	down       bool
	containers map[string]*container // by ID
	networks   map[string]*network   // by ID
	volumes    map[string]*volume    // by name
	images     map[string]image      // by reference
	dirs       map[string]*dir       // by path
	events     []engine.Event
	changed    chan struct{} // closed, and replaced, with every change
}

// New makes an engine.
func New(o Options) *Engine {
	e := &Engine{
		options: o, containers: map[string]*container{}, networks: map[string]*network{}, volumes: map[string]*volume{}, images: map[string]image{}, dirs: map[string]*dir{},
		changed: make(chan struct{}),
	}
	for ref, defaults := range o.Images {
		e.addImage(ref, defaults)
	}
	return e
}

var _ engine.Engine = (*Engine)(nil)

// Capabilities are all but those that the options take away.
func (e *Engine) Capabilities() engine.Capabilities {
	c := engine.Capabilities{UpdateLimits: true, Unpause: true, Reconnect: true, Reload: true, Commands: engine.Commands{
		RemoveContainer: "fake rm %s", RemoveNetwork: "fake network rm %s", RemoveVolume: "fake volume rm %s", InspectContainer: "fake inspect %s", Detach: "fake detach %s %s",
	}}
	if e.options.Missing != nil {
		e.options.Missing(&c)
	}
	return c
}

// SetDown makes the engine not answer, and ends its event streams, or brings it back. Containers keep running.
func (e *Engine) SetDown(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = down
	e.broadcast()
}

// Ping fails while the engine is down.
func (e *Engine) Ping(ctx context.Context) error {
	return e.read(ctx, func() error { return nil })
}

// Info describes an engine that enforces all limits.
func (e *Engine) Info(ctx context.Context) (engine.Info, error) {
	info := engine.Info{Version: "fake", CgroupVersion: "2", Runtimes: []string{"runc", "runsc"}, MemoryLimit: true, CPULimit: true, PidsLimit: true}
	return info, e.read(ctx, func() error { return nil })
}

// read runs a call that changes nothing.
func (e *Engine) read(ctx context.Context, call func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.down {
		return engine.ErrUnavailable
	}
	return call()
}

// write runs a call that changes something, after the engine's latency.
func (e *Engine) write(ctx context.Context, call func() error) error {
	if e.options.Latency > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(e.options.Latency):
		}
	}
	return e.read(ctx, func() error {
		defer e.broadcast()
		return call()
	})
}

// wait waits until a condition holds; it is evaluated under the lock, after each change.
func (e *Engine) wait(ctx context.Context, condition func() (done bool, err error)) error {
	for {
		e.mu.Lock()
		changed, down := e.changed, e.down
		var done bool
		err := engine.ErrUnavailable
		if !down {
			done, err = condition()
		}
		e.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// broadcast wakes everything that waits. The lock is held.
func (e *Engine) broadcast() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// later runs something after a while, under the lock.
func (e *Engine) later(after time.Duration, do func()) {
	time.AfterFunc(after, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		do()
		e.broadcast()
	})
}

// id returns a new ID, as long as Docker's.
func (e *Engine) id(kind string) string {
	e.sequence++
	return fmt.Sprintf("%064s", fmt.Sprintf("%s%x", kind, e.sequence))
}

// emit adds an event. The lock is held.
func (e *Engine) emit(kind engine.EventKind, c *container, networkName string) {
	event := engine.Event{Time: time.Now(), Kind: kind, Network: networkName}
	if c != nil {
		event.Container = c.id
		if networkName == "" {
			event.Owner, event.Slug = c.spec.Labels[state.LabelOwner], c.spec.Labels[state.LabelSlug]
		}
	}
	e.events = append(e.events, event)
}

// keptEvents is how many events a subscriber that comes later gets, as with Docker.
const keptEvents = 256

// Events reports events from since on.
func (e *Engine) Events(ctx context.Context, since time.Time, handle func(engine.Event)) error {
	next := -1
	for {
		var news []engine.Event
		err := e.wait(ctx, func() (bool, error) {
			if next < 0 {
				for next = len(e.events); next > max(0, len(e.events)-keptEvents) && !since.IsZero() && !e.events[next-1].Time.Before(since); next-- {
				}
			}
			news = e.events[next:]
			next = len(e.events)
			return len(news) > 0, nil
		})
		if err != nil {
			return err
		}
		for _, event := range news {
			handle(event)
		}
	}
}

type image struct {
	id       string
	defaults engine.ImageDefaults
}

func (e *Engine) addImage(ref string, defaults engine.ImageDefaults) {
	e.images[ref] = image{id: "sha256:" + e.id("e"), defaults: defaults}
}

func cloneMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}
