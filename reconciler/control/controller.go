package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/activity"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/reconciler/traffic"
	"github.com/bot-bottle/bottled/state"
)

// Source provides a controller's manifests: a directory, single files, or a git repository.
type Source interface {
	// Refresh fetches newer manifests now, where the source polls for them. A source that is notified of changes does nothing.
	Refresh(ctx context.Context)
	// Read returns the present manifests. retryAfter > 0: a file was half-written, so read again after that time. On an error the
	// bottles keep their last declaration.
	Read() (s source.Snapshot, retryAfter time.Duration, err error)
	// Changes receives whenever the result of Read may have changed.
	Changes() <-chan struct{}
	// Follow sets the files outside the manifests to watch, and the places that agents write to, whose changes are ignored.
	Follow(files []string, writable safepath.Set)
	// Warnings explain why changes are noticed late at present, each with the remedy.
	Warnings() []string
	// Revision names what Read returns, like main@sha1:1f0c…; "" where the source has no revisions. The error explains why there is
	// no newer revision.
	Revision() (string, error)
}

// ControllerConfig holds a controller's dependencies and settings. All fields are required.
type ControllerConfig struct {
	Reconciler *pass.Reconciler
	Source     Source
	Prune      plan.PrunePolicy
	Resync     time.Duration // interval between full resyncs, with 10 % jitter
	Ports      *ports.Server
	Desk       *approve.Desk
	Metrics    *Metrics
	Registry   prometheus.Registerer
	Log        zerolog.Logger
	Identity   reconciler.ControllerStatus // version, process, owner and sources
}

// Controller reconciles bottles until its context ends. A change of a declaration or an engine event enqueues the name of the
// bottle; the pass that follows is level-triggered: it observes the whole bottle, whatever enqueued it. A bottle has one pass at a
// time, and no bottle waits for the pass of another.
type Controller struct {
	ControllerConfig
	queue           workqueue.TypedDelayingInterface[string] // names of bottles
	observeSlots    chan struct{}                            // semaphore: limits concurrent observations
	resyncRequested chan struct{}                            // pending request for a resync; holds one
	readRequested   chan struct{}                            // pending request for a read of the manifests; holds one
	endsChanged     chan struct{}                            // signals that hostsUntil of a bottle changed; holds one
	passes          sync.WaitGroup
	sampler         *activity.Sampler

	resyncing chan struct{} // semaphore of one: held by the resync under way

	mu             sync.Mutex       // guards everything below
	snapshotRead   bool             // the source was read at least once
	readsBegun     int64            // reads of the source
	readsEnded     int64            // the number of the last one that succeeded
	awaitRead      map[string]int64 // by bottle: the first read after which Converge wants a pass
	pruneNotBefore time.Time        // undeclared bottles are not pruned earlier, see initialPruneDelay
	snapshot       source.Snapshot
	loggedNotices  []string // notices of the snapshot that were logged
	bottles        map[string]*bottle
	status         reconciler.ControllerStatus
	warnings       []string             // guarantees that the engine does not enforce
	unsettled      bool                 // the snapshot may change though no file does: one was half-written, or has just gone
	resyncRunning  bool                 // a resync is under way
	resyncDeferred bool                 // a resync waits for a settled snapshot
	pruneConfirmed time.Time            // until then the next resync may prune what the prune guard holds
	disconnect     func(error)          // ends the connection to the engine; nil before the first
	lastEvent      time.Time            // time of the last engine event
	killRequested  map[string]time.Time // by container ID: somebody sent it a signal
	deadSince      map[string]time.Time // by container ID: it ended and was not started since
	events         eventLog
	subscribers    map[chan struct{}]bool // notified when Status or Events may have changed
}

// bottle is the controller's state of one bottle. Controller.mu guards it.
type bottle struct {
	status       reconciler.BottleStatus
	interrupt    context.CancelCauseFunc // ends the waits of the pass under way; nil when there is none
	dirtySince   time.Time               // start of the unreconciled change; zero when there is none
	generation   int64                   // of the newest declaration; 0 when it was not declared since the start
	specHash     string                  // of the same declaration
	resuming     bool                    // the previous declaration suspended it
	removing     bool                    // undeclared, and the prune guard allows its removal
	phase        phase
	traffic      traffic.Table
	staleTokens  []string // tokens whose commands fail, with the reasons
	ports        []reconciler.PortStatus
	trafficDue   bool            // its publication is scheduled
	awaitedSince time.Time       // when a resync found work for a pass that has not ended yet; zero when none did
	hostsUntil   time.Time       // when the first of its allowed hosts ends; zero for never, and once a pass is due for it
	ending       bool            // a host has ended, which the next pass carries out
	ordered      bool            // an operator's order is carried out by the pass that is awaited
	answering    bool            // the pass under way began after that
	rechecks     []time.Duration // remaining recheckDelays
	backoffs     map[state.ComponentName]*backoff
	checkLimiter *rate.Limiter // rate limit of the passes that events cause and that change nothing
	nextCheck    time.Time     // due time of the next such pass; in the past once it has begun
}

// errSuperseded is the cancellation cause of a pass whose declaration was replaced.
var errSuperseded = errors.New("there is a newer declaration")

// initialPruneDelay delays pruning after the first snapshot: a file may be missing at that moment because an editor is saving it.
// For later snapshots the Source handles this.
const initialPruneDelay = 2 * time.Second

// maxObservations limits how many passes observe the engine concurrently.
const maxObservations = 8

// NewController returns a controller that does nothing before Run. It registers gauges and takes over the executor's OnProgress,
// which it calls on, the ports' OnChange, and attaches itself to the desk.
func NewController(config ControllerConfig) *Controller {
	c := &Controller{
		ControllerConfig: config,
		queue:            workqueue.NewTypedDelayingQueue[string](),
		observeSlots:     make(chan struct{}, maxObservations),
		resyncRequested:  make(chan struct{}, 1),
		readRequested:    make(chan struct{}, 1),
		awaitRead:        map[string]int64{},
		endsChanged:      make(chan struct{}, 1),
		resyncing:        make(chan struct{}, 1),
		bottles:          map[string]*bottle{},
		status:           config.Identity,
		killRequested:    map[string]time.Time{},
		deadSince:        map[string]time.Time{},
		events:           eventLog{byBottle: map[string][]reconciler.Event{}},
		subscribers:      map[chan struct{}]bool{},
	}
	c.status.Engine.Error = "not asked yet"
	next := config.Reconciler.Executor.OnProgress
	config.Reconciler.Executor.OnProgress = func(e execute.Progress) {
		c.onProgress(e)
		next(e)
	}
	if audit := config.Reconciler.Executor.Audit; audit != nil {
		audit.OnStatement = c.recordTraffic
	}
	c.sampler = &activity.Sampler{
		Engine: config.Reconciler.Observer.Engine, Bottles: func() []reconciler.BottleStatus { return c.Status().Bottles }, Requests: c.requests,
	}
	config.Ports.OnChange = c.portsChanged
	config.Desk.Attach(c, c.proposalsChanged)
	c.registerGauges(config.Registry)
	return c
}

// Run reconciles until ctx ends. Then it finishes the steps under way and returns; the bottles keep running.
func (c *Controller) Run(ctx context.Context) {
	retryAfter := c.readSource()
	var loops sync.WaitGroup
	loops.Go(func() { c.dispatch(ctx) })
	loops.Go(func() { c.keepConnected(ctx) })
	loops.Go(func() { c.Reconciler.TokenCommands.Run(ctx) })
	loops.Go(func() { c.Ports.Run(ctx) })
	loops.Go(func() { c.Desk.Run(ctx) })
	loops.Go(func() { c.watchEnds(ctx) })
	if audit := c.Reconciler.Executor.Audit; audit != nil {
		loops.Go(func() { audit.Run(ctx) })
	}
	c.watchSource(ctx, retryAfter)
	c.queue.ShutDown()
	loops.Wait()
	c.passes.Wait()
	c.saveCache()
}

// watchSource reads the manifests again after each change of the source, and resyncs on request and periodically.
func (c *Controller) watchSource(ctx context.Context, retryAfter time.Duration) {
	resync, retry := time.NewTimer(reconciler.Jitter(c.Resync)), time.NewTimer(retryAfter)
	if retryAfter == 0 {
		retry.Stop()
	}
	for {
		full, deep := false, false
		select {
		case <-ctx.Done():
			return
		case <-c.Source.Changes():
		case <-c.Reconciler.TokenCommands.Changes():
		case <-c.readRequested:
		case <-retry.C:
		case <-c.resyncRequested:
			full, deep = true, true
			c.Source.Refresh(ctx)
		case <-resync.C:
			full = true
			resync.Reset(reconciler.Jitter(c.Resync))
		}
		if retryAfter := c.readSource(); retryAfter > 0 {
			retry.Reset(retryAfter)
		}
		if full {
			select {
			case <-c.resyncRequested: // by what was just read: the resync that follows is the answer
				deep = true
			default:
			}
			c.tryResync(ctx, deep)
		}
	}
}

// bottle returns the state of a bottle, which it creates if needed.
func (c *Controller) bottle(slug string) *bottle {
	b := c.bottles[slug]
	if b == nil {
		b = &bottle{
			status:       reconciler.BottleStatus{Slug: slug, Reason: reconciler.ReasonPending, Components: []reconciler.ComponentStatus{}},
			checkLimiter: rate.NewLimiter(rate.Every(eventPause), eventBurst),
		}
		b.status.Conditions = conditions(nil, b.status, working, time.Now())
		c.bottles[slug] = b
	}
	return b
}

// enqueue requests a pass over a bottle.
func (c *Controller) enqueue(slug string) {
	c.bottle(slug).markDirty()
	c.queue.Add(slug)
}

// markDirty records the time of the first change that no pass has reconciled.
func (b *bottle) markDirty() {
	if b.dirtySince.IsZero() {
		b.dirtySince = time.Now()
	}
}

// Rate limit of the passes that events cause, since an agent can make the engine send events about its bottle at any rate: a burst
// of eventBurst passes, then one every eventPause, shared by all events of that pause. Passes that change something don't count:
// backoff bounds those. The burst is available again after eventBurst quiet pauses.
const (
	eventBurst = 32
	eventPause = 500 * time.Millisecond
)

// checkSlack is the scheduling delay after which a check that is due counts as missed.
const checkSlack = 10 * time.Millisecond

// enqueueAfter requests a pass over a bottle after d, or up to eventPause later when the rate limit demands it. It returns false when
// an earlier pass is already scheduled.
func (c *Controller) enqueueAfter(slug string, d time.Duration) bool {
	b, now := c.bottle(slug), time.Now()
	if missing := 1 - b.checkLimiter.Tokens(); missing > 0 {
		d = max(d, time.Duration(missing*float64(eventPause))+time.Millisecond) // the millisecond covers rounding
	}
	at := now.Add(d)
	if b.nextCheck.Add(checkSlack).After(now) && at.Add(time.Millisecond).After(b.nextCheck) {
		return false
	}
	if b.nextCheck.After(at) {
		b.rechecks = recheckDelays // the pass that was scheduled for later is replaced by rechecks
	}
	b.nextCheck = at
	c.queue.AddAfter(slug, at.Sub(now))
	return true
}
