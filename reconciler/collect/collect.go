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

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

// Polling of a sidecar's output.
const (
	// minPoll is the interval after a read with new lines; without, it doubles up to maxPoll. A sidecar needs minutes to make the
	// engine drop lines that were not read, see sidecar.Decisions.
	minPoll = time.Second
	maxPoll = 30 * time.Second
	// readIntervalFactor bounds the cost of a sidecar that floods its output: the interval is at least this many times the duration
	// of the last read.
	readIntervalFactor = 10
	readTimeout        = time.Minute     // of one read
	drainTimeout       = 5 * time.Second // of the last read, before a container is removed
	stopGrace          = time.Second     // for a sidecar to write its last counts before the last read
	maxReads           = 4               // concurrent reads
	minSyncInterval    = time.Second     // between two listings of the sidecars
	syncRetry          = 10 * time.Second
)

// tails are the numbers of last lines to read, in turn, until they overlap with the lines read before; -1 is all. Docker reads last
// lines from a log's end, in a millisecond, and all lines from its beginning, in up to 0.3 s for 30 MB (20.10).
var tails = []int{20, 1000, -1}

// Source is the part of engine.Engine that a Collector needs.
type Source interface {
	Containers(ctx context.Context, owner, slug string) ([]engine.Summary, error)
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	StreamLogs(ctx context.Context, id string, o engine.LogOptions, handle func(engine.LogLine) error) error
}

// Collector copies the sidecars' decisions from their output into the audit logs. It polls instead of following the output: following
// costs one of root's inotify instances for each container on Docker before 23.0, and repeats lines when a log is rotated.
type Collector struct {
	// OnStatement, if set before use, is called with every new decision of a bottle's sidecars. It must not call the collector.
	OnStatement func(bottle, kind string, s *audit.Statement)

	source        Source
	settings      state.Settings
	limits        audit.Limits
	changes       audit.Changes
	log           zerolog.Logger
	syncRequested chan struct{} // pending request to list the sidecars; holds one
	slots         chan struct{} // semaphore: limits concurrent reads
	looks         looks

	mu       sync.Mutex
	trails   map[string]*audit.Trail // by bottle
	outputs  map[string]*output      // by container ID
	problems map[string]string       // by bottle: the problem that was logged last
}

// output is the output of one sidecar's container.
type output struct {
	bottle, id string
	component  state.ComponentName
	watched    bool // guarded by Collector.mu

	reading    chan struct{} // semaphore of one: held by the reader
	lastLineAt time.Time     // time of the last line read; guarded by reading
	drained    atomic.Bool   // read to its end, before the container's removal
}

// NewCollector returns a collector that does nothing before it is used.
func NewCollector(source Source, s state.Settings, log zerolog.Logger) *Collector {
	return &Collector{
		source: source, settings: s, limits: audit.DefaultLimits, changes: audit.Changes{Dir: s.AuditDir()}, log: log, syncRequested: make(chan struct{}, 1), slots: make(chan struct{}, maxReads),
		trails: map[string]*audit.Trail{}, outputs: map[string]*output{}, problems: map[string]string{},
	}
}

// Wake requests a listing of the sidecars, to find new ones. On a nil collector it does nothing.
func (c *Collector) Wake() {
	if c == nil {
		return
	}
	select {
	case c.syncRequested <- struct{}{}:
	default:
	}
}

// Run polls the output of every sidecar until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	var watches sync.WaitGroup
	for ctx.Err() == nil {
		if err := c.sync(ctx, &watches); err != nil {
			time.AfterFunc(syncRetry, c.Wake) // the controller logs that the engine does not answer
		}
		select {
		case <-ctx.Done():
		case <-time.After(minSyncInterval):
		}
		select {
		case <-ctx.Done():
		case <-c.syncRequested:
		}
	}
	watches.Wait()
}

// sync lists the sidecars and starts a watch on each new one.
func (c *Collector) sync(ctx context.Context, watches *sync.WaitGroup) error {
	found, err := c.listSidecars(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropRemoved()
	for id := range found {
		if o := c.outputs[id]; o != nil && !o.watched {
			o.watched = true
			watches.Go(func() { c.watch(ctx, o) })
		}
	}
	return nil
}

// dropRemoved closes the audit logs of bottles that have no sidecar left. The lock is held.
func (c *Collector) dropRemoved() {
	ids := map[string][]string{}
	for id, o := range c.outputs {
		ids[o.bottle] = append(ids[o.bottle], id)
	}
	for bottle, trail := range c.trails {
		trail.Retain(ids[bottle])
		if ids[bottle] == nil {
			if err := trail.Close(); err != nil {
				c.log.Error().Str("bottle", bottle).Err(err).Msg("can't close the audit log; its last records may not survive a crash of this host")
			}
			delete(c.trails, bottle)
		}
	}
}

// listSidecars returns the IDs of the sidecars' containers, and creates an output for each.
func (c *Collector) listSidecars(ctx context.Context) (found map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
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

func (c *Collector) output(bottle string, component state.ComponentName, id string) *output {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outputs[id]
	if o == nil {
		o = &output{bottle: bottle, id: id, component: component, reading: make(chan struct{}, 1)}
		c.outputs[id] = o
	}
	return o
}

// watch polls a container's output until the container is removed.
func (c *Collector) watch(ctx context.Context, o *output) {
	wait := minPoll
	for {
		began := time.Now()
		news, err := c.readInSlot(ctx, o)
		if isRemoved(err) {
			c.handleRemoval(o)
			return
		}
		if wait = min(2*wait, maxPoll); news && err == nil {
			wait = minPoll
		}
		pause, looked := c.pause(wait, time.Since(began))
		select {
		case <-ctx.Done():
			return
		case <-looked:
		case <-time.After(pause):
		}
	}
}

func isRemoved(err error) bool {
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) // conflict: the removal is under way
}

// handleRemoval drops the output of a removed container, and records a gap unless it was drained.
func (c *Collector) handleRemoval(o *output) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.outputs, o.id)
	}()
	if o.drained.Load() {
		return
	}
	trail, err := c.trail(o.bottle)
	if err == nil {
		err = trail.RecordLoss(o.id, string(o.component), "the container was removed by somebody else, with what it had written since it was read last")
	}
	c.report(o.bottle, trail, err)
}

// readInSlot reads an output once a slot is free.
func (c *Collector) readInSlot(ctx context.Context, o *output) (news bool, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		return c.read(ctx, o)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Drain stops a sidecar and reads its output to the end. Call it before removing the container, whose log goes with it.
func (c *Collector) Drain(ctx context.Context, bottle string, component state.ComponentName, id string) {
	_ = c.source.StopContainer(ctx, id, stopGrace) // if this fails, so does the removal, with the same reason
	ctx, cancel := context.WithTimeoutCause(ctx, drainTimeout, fmt.Errorf("not read within %s", drainTimeout))
	defer cancel()
	o := c.output(bottle, component, id)
	_, err := c.read(ctx, o)
	if isRemoved(err) {
		return
	}
	trail, openErr := c.trail(bottle)
	if openErr != nil {
		c.report(bottle, nil, openErr)
		return
	}
	switch {
	case err == nil:
		err = trail.FlushGap(id, true)
	case context.Cause(ctx) != nil:
		err = errors.Join(context.Cause(ctx), trail.RecordLoss(id, string(component), "the container's output was too much to be read before its removal"))
	default:
		err = errors.Join(err, trail.RecordLoss(id, string(component), "the container's output could not be read before its removal"))
	}
	c.report(bottle, trail, errors.Join(err, trail.Save()))
	o.drained.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.watched {
		delete(c.outputs, id)
	}
}

// Collect reads the output of every sidecar once.
func (c *Collector) Collect(ctx context.Context) error {
	found, err := c.listSidecars(ctx)
	if err != nil {
		return fmt.Errorf("record the sidecars' decisions: %w", err)
	}
	var reads errgroup.Group
	for id := range found {
		c.mu.Lock()
		o := c.outputs[id]
		c.mu.Unlock()
		reads.Go(func() error {
			_, err := c.readInSlot(ctx, o)
			if isRemoved(err) {
				c.handleRemoval(o)
				return nil
			}
			if err != nil {
				err = fmt.Errorf("record the decisions of %s of bottle %s: %w", o.component, o.bottle, err)
			}
			return err
		})
	}
	err = reads.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropRemoved()
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
		if c.OnStatement != nil {
			trail.OnStatement = func(kind string, s *audit.Statement) { c.OnStatement(bottle, kind, s) }
		}
		c.trails[bottle] = trail
	}
	return c.trails[bottle], nil
}

// Close closes the audit logs, after which the log of heads has all their records. The collector may be used again.
func (c *Collector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed []error
	for bottle, trail := range c.trails {
		failed = append(failed, trail.Close())
		delete(c.trails, bottle)
	}
	return errors.Join(failed...)
}
