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

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
)

// Source is where a controller's manifests come from.
type Source interface {
	// Refresh looks for something new where that is not told, but asked for.
	Refresh(ctx context.Context)
	// Read returns what is declared now. With again > 0 something was half-written, and is worth another look after that
	// time. On an error the bottles stay as they were declared last.
	Read() (s manifests.Snapshot, again time.Duration, err error)
	// Changes receives whenever Read may return something else.
	Changes() <-chan struct{}
	// Follow names the files outside the manifests whose change matters, and where agents write, whose changes do not.
	Follow(files []string, writable safepath.Set)
	// Warnings say why changes are noticed late now, and what to do about it.
	Warnings() []string
	// Revision is what Read reads, "" where the source has no such thing, and why there is no newer one.
	Revision() (string, error)
}

// ControllerConfig is what a controller is made of.
type ControllerConfig struct {
	Reconciler *pass.Reconciler
	Source     Source
	Prune      plan.PrunePolicy
	Resync     time.Duration // between two looks at everything, whatever was heard; less or more by a tenth
	Metrics    *Metrics
	Registry   prometheus.Registerer
	Log        zerolog.Logger
	Identity   reconciler.ControllerStatus // version, process, owner and sources
}

// Controller keeps the bottles as declared until its context ends. Two things wake a bottle: a change of its declaration
// and an event of the engine about it. What woke it does not matter to the pass that follows: that looks at everything the
// bottle consists of. One bottle has one pass at a time, and no bottle waits for another one's.
type Controller struct {
	ControllerConfig
	queue           workqueue.TypedDelayingInterface[string]
	observeSlots    chan struct{} // taken by those that look at the engine
	resyncRequested chan struct{} // a resync was asked for
	passes          sync.WaitGroup

	resyncing chan struct{} // taken by the resync under way

	mu             sync.Mutex
	read           bool      // a snapshot was read
	pruneNotBefore time.Time // from then on it is believed that what is not declared is gone
	snapshot       manifests.Snapshot
	loggedNotices  []string // of the snapshot, which were logged
	bottles        map[string]*bottle
	status         reconciler.ControllerStatus
	warnings       []string               // what the engine can't keep closed
	resyncRunning  bool                   // a resync is under way
	pruneConfirmed bool                   // the next resync may remove what the guard holds
	disconnect     func(error)            // ends the session with the engine
	lastEvent      time.Time              // of the last event
	killRequested  map[string]time.Time   // by container ID: somebody had it killed
	deadSince      map[string]time.Time   // by container ID: it ended, and was not started since
	subscribers    map[chan struct{}]bool // told that Live changed
}

// bottle is what the controller remembers of one bottle.
type bottle struct {
	status       reconciler.BottleStatus
	interrupt    context.CancelCauseFunc // ends the waits of the pass under way; nil when there is none
	dirtySince   time.Time               // when it was first noticed that something is to do; zero when nothing is
	generation   int64                   // of its newest declaration; 0 when it was not declared since the start
	specHash     string                  // of the same
	resuming     bool                    // it was suspended until it was declared anew
	removing     bool                    // it is not declared any more, and may be removed
	rechecks     []time.Duration         // when to look again, since an engine tells of some changes before it knows them itself
	backoffs     map[state.ComponentName]*backoff
	checkLimiter *rate.Limiter // of passes that events lead to and that find nothing to do
	nextCheck    time.Time     // when the next of them is made; in the past once it has begun
}

// errSuperseded ends a pass whose declaration is not the newest any more.
var errSuperseded = errors.New("there is a newer declaration")

// firstGrace is how long the first snapshot is not believed in what it does not say: a file may be missing for the moment in
// which somebody saves it. For later ones the Source sees to that.
const initialPruneDelay = 2 * time.Second

// looksAtOnce bounds how many bottles' passes ask the engine at once what runs.
const maxObservations = 8

// NewController prepares a controller.
func NewController(config ControllerConfig) *Controller {
	c := &Controller{
		ControllerConfig: config,
		queue:            workqueue.NewTypedDelayingQueue[string](),
		observeSlots:     make(chan struct{}, maxObservations),
		resyncRequested:  make(chan struct{}, 1),
		resyncing:        make(chan struct{}, 1),
		bottles:          map[string]*bottle{},
		status:           config.Identity,
		killRequested:    map[string]time.Time{},
		deadSince:        map[string]time.Time{},
		subscribers:      map[chan struct{}]bool{},
	}
	c.status.Engine.Error = "not asked yet"
	told := config.Reconciler.Executor.OnProgress
	config.Reconciler.Executor.OnProgress = func(e execute.Progress) {
		c.onProgress(e)
		told(e)
	}
	c.observe(config.Registry)
	return c
}

// Run works until ctx ends; then the steps in hand are finished, and the bottles are left running.
func (c *Controller) Run(ctx context.Context) {
	again := c.reread()
	var loops sync.WaitGroup
	loops.Go(func() { c.dispatch(ctx) })
	loops.Go(func() { c.listen(ctx) })
	if audit := c.Reconciler.Executor.Audit; audit != nil {
		loops.Go(func() { audit.Run(ctx) })
	}
	c.loop(ctx, again)
	c.queue.ShutDown()
	loops.Wait()
	c.passes.Wait()
	c.saveCache()
}

func (c *Controller) loop(ctx context.Context, again time.Duration) {
	resync, reread := time.NewTimer(reconciler.Jitter(c.Resync)), time.NewTimer(again)
	if again == 0 {
		reread.Stop()
	}
	for {
		look, deep := false, false
		select {
		case <-ctx.Done():
			return
		case <-c.Source.Changes():
		case <-reread.C:
		case <-c.resyncRequested:
			look, deep = true, true
			c.Source.Refresh(ctx)
		case <-resync.C:
			look = true
			resync.Reset(reconciler.Jitter(c.Resync))
		}
		if again := c.reread(); again > 0 {
			reread.Reset(again)
		}
		if look {
			c.tryResync(ctx, deep)
		}
	}
}

// bottle returns what is remembered of a bottle.
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

// wake has a pass made over a bottle.
func (c *Controller) enqueue(slug string) {
	c.bottle(slug).markDirty()
	c.queue.Add(slug)
}

// noticed notes when it was first known that something is to do.
func (b *bottle) markDirty() {
	if b.dirtySince.IsZero() {
		b.dirtySince = time.Now()
	}
}

// An agent can have the engine send events about its bottle as fast as it likes. So a bottle's events lead to no more than
// eventBurst passes at once and one every eventPause from then on; all events of a pause share one pass. A pass that repairs
// something does not count: those are bounded by backoff. A bottle that is quiet for eventBurst pauses has its burst again.
const (
	eventBurst = 32
	eventPause = 500 * time.Millisecond
)

// beginning is how long a pass that is due may take to begin.
const checkSlack = 10 * time.Millisecond

// lookAfter has a pass made over a bottle after a while, or as soon after it as its events' rate allows, which is at most eventPause
// later. It returns false when there will be one earlier.
func (c *Controller) enqueueAfter(slug string, d time.Duration) bool {
	b, now := c.bottle(slug), time.Now()
	if missing := 1 - b.checkLimiter.Tokens(); missing > 0 {
		d = max(d, time.Duration(missing*float64(eventPause))+time.Millisecond) // not a rounding error too early
	}
	at := now.Add(d)
	if b.nextCheck.Add(checkSlack).After(now) && at.Add(time.Millisecond).After(b.nextCheck) {
		return false
	}
	if b.nextCheck.After(at) {
		b.rechecks = recheckDelays // what it would have seen is seen by another one
	}
	b.nextCheck = at
	c.queue.AddAfter(slug, at.Sub(now))
	return true
}
