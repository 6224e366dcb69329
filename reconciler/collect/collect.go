package collect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// A sidecar's output is read again after minPoll when it had something new, and less and less often up to maxPoll when it has
	// not. A sidecar needs minutes to make the engine drop what was not read, see sidecar.Decisions.
	minPoll = time.Second
	maxPoll = 30 * time.Second
	// readShare bounds what a sidecar that floods its output costs: the time between two reads is so many times that of a read.
	readShare = 10
	// readLimit bounds one read, lastReadLimit that before a container is removed.
	readLimit     = time.Minute
	lastReadLimit = 5 * time.Second
	// readsAtOnce bounds how many outputs are read at once.
	readsAtOnce = 4
	// syncPause is the least time between two listings of the containers to read.
	syncPause = time.Second
	// syncRetry is when a listing that failed is tried again.
	syncRetry = 10 * time.Second
)

// tails are how many last lines are read, until they overlap with what was read before; then all. The engine reads last
// lines from a log's end, in a millisecond, and all lines from its beginning, in up to 0.3 s for 30 MB (20.10).
var tails = []int{20, 1000, -1}

// AuditSource is what a Collector needs of the engine.
type Source interface {
	Containers(ctx context.Context, owner, slug string) ([]engine.Summary, error)
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	StreamLogs(ctx context.Context, id string, o engine.LogOptions, tell func(engine.LogLine) error) error
}

// Collector puts the decisions of all sidecars on record: it reads their output from the engine into the audit logs. It reads now
// and then rather than to follow: following takes an inotify instance of root's for each container on engines before 23.0,
// and repeats lines when the log is rotated.
type Collector struct {
	source   Source
	settings state.Settings
	limits   audit.Limits
	log      zerolog.Logger
	wanted   chan struct{}
	slots    chan struct{} // taken by those that read

	mu      sync.Mutex
	trails  map[string]*audit.Trail // by bottle
	outputs map[string]*output      // by container ID
	trouble map[string]string       // by bottle, as it was logged last
}

// output is what a sidecar's container has written.
type output struct {
	bottle, id string
	part       state.ComponentName
	watched    bool // guarded by Collector.mu

	reading chan struct{} // taken by who reads
	seen    time.Time     // the last line read; guarded by reading
	last    atomic.Bool   // it was read to its end before the container's removal
}

// NewCollector prepares a collector. It changes nothing before it is used.
func NewCollector(source Source, s state.Settings, log zerolog.Logger) *Collector {
	return &Collector{
		source: source, settings: s, limits: audit.DefaultLimits, log: log, wanted: make(chan struct{}, 1), slots: make(chan struct{}, readsAtOnce),
		trails: map[string]*audit.Trail{}, outputs: map[string]*output{}, trouble: map[string]string{},
	}
}

// Wake has the collector look for containers that are new. Without a collector it does nothing.
func (c *Collector) Wake() {
	if c == nil {
		return
	}
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// Run reads until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	var watches sync.WaitGroup
	for ctx.Err() == nil {
		if err := c.sync(ctx, &watches); err != nil {
			time.AfterFunc(syncRetry, c.Wake) // whoever keeps the bottles says that the engine is gone
		}
		select {
		case <-ctx.Done():
		case <-time.After(syncPause):
		}
		select {
		case <-ctx.Done():
		case <-c.wanted:
		}
	}
	watches.Wait()
}

// sync begins to read the sidecars that nobody reads.
func (c *Collector) sync(ctx context.Context, watches *sync.WaitGroup) error {
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	for id := range found {
		if o := c.outputs[id]; o != nil && !o.watched {
			o.watched = true
			watches.Go(func() { c.watch(ctx, o) })
		}
	}
	return nil
}

// forget drops what is known of containers that are gone.
func (c *Collector) forget() {
	ids := map[string][]string{}
	for id, o := range c.outputs {
		ids[o.bottle] = append(ids[o.bottle], id)
	}
	for bottle, trail := range c.trails {
		trail.Keep(ids[bottle])
		if ids[bottle] == nil {
			if err := trail.Close(); err != nil {
				c.log.Error().Str("bottle", bottle).Err(err).Msg("the audit log may not survive a crash of this host")
			}
			delete(c.trails, bottle)
		}
	}
}

// find lists the sidecars' containers.
func (c *Collector) find(ctx context.Context) (found map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	all, err := c.source.Containers(ctx, c.settings.Owner, "")
	if err != nil {
		return nil, err
	}
	found = map[string]bool{}
	for _, s := range all {
		if kinds.All.Of(s.Component()).Audited {
			found[s.ID] = true
			c.output(s.Slug(), s.Component(), s.ID)
		}
	}
	return found, nil
}

func (c *Collector) output(bottle string, part state.ComponentName, id string) *output {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outputs[id]
	if o == nil {
		o = &output{bottle: bottle, id: id, part: part, reading: make(chan struct{}, 1)}
		c.outputs[id] = o
	}
	return o
}

// watch reads a container's output until the container is gone.
func (c *Collector) watch(ctx context.Context, o *output) {
	wait := minPoll
	for {
		began := time.Now()
		news, err := c.slotted(ctx, o)
		if isGone(err) {
			c.gone(o)
			return
		}
		if wait = min(2*wait, maxPoll); news && err == nil {
			wait = minPoll
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reconciler.Jitter(max(wait, readShare*time.Since(began)))):
		}
	}
}

func isGone(err error) bool {
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) // it is being removed
}

// gone ends the reading of a container that was removed.
func (c *Collector) gone(o *output) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.outputs, o.id)
	}()
	if o.last.Load() {
		return
	}
	trail, err := c.trail(o.bottle)
	if err == nil {
		err = trail.Miss(o.id, string(o.part), "the container was removed by somebody else, with what it had written since it was read last")
	}
	c.report(o.bottle, trail, err)
}

// slotted reads when it is its turn.
func (c *Collector) slotted(ctx context.Context, o *output) (news bool, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		return c.read(ctx, o)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Last stops a sidecar and reads what it has written, before its container, and its log with it, is removed.
func (c *Collector) Last(ctx context.Context, bottle string, part state.ComponentName, id string) {
	_ = c.source.StopContainer(ctx, id, timeToStop) // an engine that can't will not remove it either, and says why
	ctx, cancel := context.WithTimeoutCause(ctx, lastReadLimit, fmt.Errorf("not read within %s", lastReadLimit))
	defer cancel()
	o := c.output(bottle, part, id)
	_, err := c.read(ctx, o)
	if isGone(err) {
		return
	}
	trail, openErr := c.trail(bottle)
	if openErr != nil {
		c.report(bottle, nil, openErr)
		return
	}
	switch {
	case err == nil:
		err = trail.Settle(id, true)
	case context.Cause(ctx) != nil:
		err = errors.Join(context.Cause(ctx), trail.Miss(id, string(part), "the container's output was too much to be read before its removal"))
	default:
		err = errors.Join(err, trail.Miss(id, string(part), "the container's output could not be read before its removal"))
	}
	c.report(bottle, trail, errors.Join(err, trail.Save()))
	o.last.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.watched {
		delete(c.outputs, id)
	}
}

// Collect reads all outputs once.
func (c *Collector) Collect(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil {
		return fmt.Errorf("put on record what the sidecars decided: %w", err)
	}
	var reads errgroup.Group
	for id := range found {
		c.mu.Lock()
		o := c.outputs[id]
		c.mu.Unlock()
		reads.Go(func() error {
			_, err := c.slotted(ctx, o)
			if isGone(err) {
				c.gone(o)
				return nil
			}
			if err != nil {
				err = fmt.Errorf("put on record what %s of bottle %s decided: %w", o.part, o.bottle, err)
			}
			return err
		})
	}
	err = reads.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	return err
}

func (c *Collector) trail(bottle string) (*audit.Trail, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trails[bottle] == nil {
		trail, err := audit.OpenTrail(c.settings.AuditDir(), bottle, c.limits)
		if err != nil {
			return nil, err
		}
		c.trails[bottle] = trail
	}
	return c.trails[bottle], nil
}

// timeToStop is what a sidecar has to write its last counts before it is removed.
const timeToStop = time.Second
