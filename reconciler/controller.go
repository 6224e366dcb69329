package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"k8s.io/client-go/util/workqueue"

	"github.com/bot-bottle/bottled/manifests"
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
	// Follow names the files, besides the manifests, whose change matters.
	Follow(files []string)
	// Revision is what Read reads, "" where the source has no such thing, and why there is no newer one.
	Revision() (string, error)
}

// ControllerConfig is what a controller is made of.
type ControllerConfig struct {
	Reconciler *Reconciler
	Source     Source
	Prune      PrunePolicy
	Resync     time.Duration // between two looks at everything, whatever was heard; less or more by a tenth
	Metrics    *Metrics
	Registry   prometheus.Registerer
	Log        zerolog.Logger
	Identity   ControllerStatus // version, process, owner and sources
}

// Controller keeps the bottles as declared until its context ends. Two things wake a bottle: a change of its declaration
// and an event of the engine about it. What woke it does not matter to the pass that follows: that looks at everything the
// bottle consists of. One bottle has one pass at a time, and no bottle waits for another one's.
type Controller struct {
	ControllerConfig
	queue  workqueue.TypedDelayingInterface[string]
	looks  chan struct{} // taken by those that look at the engine
	wanted chan struct{} // a resync was asked for
	passes sync.WaitGroup

	resyncing sync.Mutex

	mu          sync.Mutex
	read        bool      // a snapshot was read
	believe     time.Time // from then on it is believed that what is not declared is gone
	snapshot    manifests.Snapshot
	bottles     map[string]*bottle
	status      ControllerStatus
	running     bool                   // a resync is under way
	confirmed   bool                   // the next resync may remove what the guard holds
	lose        func(error)            // ends the session with the engine
	cursor      time.Time              // of the last event
	ordered     map[string]time.Time   // by container ID: somebody had it killed
	died        map[string]time.Time   // by container ID: it ended, and was not started since
	subscribers map[chan struct{}]bool // told that Live changed
}

// bottle is what the controller remembers of one bottle.
type bottle struct {
	status    BottleStatus
	interrupt context.CancelCauseFunc // ends the waits of the pass under way; nil when there is none
	woken     time.Time               // when it was first noticed that something is to do; zero when nothing is
	declared  string                  // generation of its newest declaration; "" when it was not declared since the start
	removing  bool                    // it is not declared any more, and may be removed
	echoes    []time.Duration         // when to look again, since an engine tells of some changes before it knows them itself
	history   map[state.Part]*history
}

// errSuperseded ends a pass whose declaration is not the newest any more.
var errSuperseded = errors.New("there is a newer declaration")

// firstGrace is how long the first snapshot is not believed in what it does not say: a file may be missing for the moment in
// which somebody saves it. For later ones the Source sees to that.
const firstGrace = 2 * time.Second

// looksAtOnce bounds how many bottles' passes ask the engine at once what runs.
const looksAtOnce = 8

// NewController prepares a controller.
func NewController(config ControllerConfig) *Controller {
	c := &Controller{
		ControllerConfig: config,
		queue:            workqueue.NewTypedDelayingQueue[string](),
		looks:            make(chan struct{}, looksAtOnce),
		wanted:           make(chan struct{}, 1),
		bottles:          map[string]*bottle{},
		status:           config.Identity,
		ordered:          map[string]time.Time{},
		died:             map[string]time.Time{},
		subscribers:      map[chan struct{}]bool{},
	}
	c.status.Engine.Error = "not asked yet"
	c.observe(config.Registry)
	return c
}

// Run works until ctx ends; then the steps in hand are finished, and the bottles are left running.
func (c *Controller) Run(ctx context.Context) error {
	again := c.reread()
	var loops sync.WaitGroup
	loops.Go(func() { c.dispatch(ctx) })
	loops.Go(func() { c.listen(ctx) })
	c.loop(ctx, again)
	c.queue.ShutDown()
	loops.Wait()
	c.passes.Wait()
	return c.Reconciler.Observer.Cache.Save()
}

func (c *Controller) loop(ctx context.Context, again time.Duration) {
	resync, reread := time.NewTimer(jitter(c.Resync)), time.NewTimer(again)
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
		case <-c.wanted:
			look, deep = true, true
			c.Source.Refresh(ctx)
		case <-resync.C:
			look = true
			resync.Reset(jitter(c.Resync))
		}
		if again := c.reread(); again > 0 {
			reread.Reset(again)
		}
		if look {
			c.tryResync(ctx, deep)
		}
	}
}

func (c *Controller) tryResync(ctx context.Context, deep bool) {
	err := c.resync(ctx, deep)
	if err != nil && !errors.Is(err, state.ErrUnavailable) && ctx.Err() == nil { // an engine that is gone is told once
		c.Log.Error().Err(err).Msg("resync failed; there will be another one")
	}
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // nobody gains by guessing it
}

// reread reads the manifests and wakes the bottles whose declaration changed.
func (c *Controller) reread() (again time.Duration) {
	snapshot, again, err := c.Source.Read()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed()
	revision, pullErr := c.Source.Revision()
	c.status.Revision = revision
	c.sourceError(errors.Join(pullErr, err))
	if err != nil {
		return again
	}
	c.problems(snapshot)
	c.Source.Follow(snapshot.References())
	before := c.snapshot
	first := !c.read
	c.snapshot, c.read = snapshot, true
	if first {
		c.believe = time.Now().Add(firstGrace)
	}
	gone := c.wakeChanged(before, snapshot)
	if first || gone {
		c.want()
	}
	return again
}

func (c *Controller) sourceError(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == c.status.SourceError {
		return
	}
	c.status.SourceError = text
	if err != nil {
		c.Log.Error().Err(err).Msg("the manifests can't be read; the bottles are kept as they were declared last")
	} else {
		c.Log.Info().Msg("the manifests can be read again")
	}
}

// problems logs what is wrong in the manifests, each problem once.
func (c *Controller) problems(s manifests.Snapshot) {
	var now []string
	for _, p := range s.Problems {
		text := p.Error()
		now = append(now, text)
		if !slices.Contains(c.status.Problems, text) {
			c.Log.Warn().Str("bottle", p.Slug).Msg(text)
		}
	}
	c.status.Problems = now
}

// wakeChanged wakes the bottles that are declared in another way than before, and says whether one is not declared any more.
func (c *Controller) wakeChanged(before, now manifests.Snapshot) (gone bool) {
	old, invalid, wasInvalid := bySlug(before), now.InvalidSlugs(), before.InvalidSlugs()
	declared := bySlug(now)
	for slug, m := range declared {
		was, known := old[slug]
		switch {
		case !known || !reflect.DeepEqual(was, m):
			c.redeclared(slug, state.Generation(m))
		case wasInvalid[slug] || c.Reconciler.inputsChanged(m):
			c.wake(slug)
		}
	}
	for slug := range invalid {
		if !wasInvalid[slug] {
			c.wake(slug)
		}
	}
	for slug := range old {
		if _, still := declared[slug]; !still && !invalid[slug] {
			gone = true
		}
	}
	for slug := range wasInvalid {
		if _, still := declared[slug]; !still && !invalid[slug] {
			gone = true
		}
	}
	return gone || len(before.UnknownDocuments())+len(before.Unsettled) > len(now.UnknownDocuments())+len(now.Unsettled)
}

func bySlug(s manifests.Snapshot) map[string]manifests.Bottle {
	m := map[string]manifests.Bottle{}
	for _, b := range s.Bottles {
		m[b.Metadata.Name] = b
	}
	return m
}

// redeclared takes up a new declaration: what failed before is forgotten, and a pass for the old one stops waiting.
func (c *Controller) redeclared(slug, generation string) {
	b := c.bottle(slug)
	b.history = nil
	b.declared, b.status.Generation = generation, generation
	if b.interrupt != nil {
		b.interrupt(errSuperseded)
	}
	c.wake(slug)
}

// bottle returns what is remembered of a bottle.
func (c *Controller) bottle(slug string) *bottle {
	b := c.bottles[slug]
	if b == nil {
		b = &bottle{status: BottleStatus{Slug: slug, Reason: ReasonPending, Parts: []PartStatus{}}}
		b.status.Conditions = conditions(nil, b.status, working, time.Now())
		c.bottles[slug] = b
	}
	return b
}

// wake has a pass made over a bottle.
func (c *Controller) wake(slug string) {
	if b := c.bottle(slug); b.woken.IsZero() {
		b.woken = time.Now()
	}
	c.queue.Add(slug)
}

// want has a resync made.
func (c *Controller) want() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// Sync asks for a full resync now, and returns how many will have been completed when it is done. What failed is tried
// again at once. With confirm, bottles are removed that are kept only because their removal looks like an accident.
func (c *Controller) Sync(confirm bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bottles {
		b.history = nil
	}
	c.confirmed = c.confirmed || confirm
	c.want()
	if c.running {
		return c.status.Syncs + 2
	}
	return c.status.Syncs + 1
}

// resync looks at everything, and wakes the bottles for which there is something to do.
func (c *Controller) resync(ctx context.Context, deep bool) error {
	c.resyncing.Lock()
	defer c.resyncing.Unlock()
	c.mu.Lock()
	snapshot, read, policy := c.snapshot, c.read, c.Prune
	switch left := time.Until(c.believe); {
	case c.confirmed:
		policy = PruneAll
	case left > 0:
		policy = pruneLater
		time.AfterFunc(left, c.want)
	}
	c.running, c.confirmed = true, false
	c.mu.Unlock()
	plan, err := Plan{}, error(nil)
	if read {
		plan, err = c.Reconciler.Plan(ctx, snapshot, Options{Prune: policy, Deep: deep})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	if err != nil {
		c.lost(err)
		return err
	}
	if read {
		c.adopt(plan)
	}
	c.status.Syncs++
	c.Metrics.resyncs.Inc()
	c.changed()
	return c.Reconciler.Observer.Cache.Save()
}

func (c *Controller) adopt(plan Plan) {
	c.hold(plan)
	seen := map[string]bool{}
	for _, p := range plan.Bottles {
		if p.Held != "" {
			p.Held = c.status.HeldReason
		}
		seen[p.Slug] = true
		b := c.bottle(p.Slug)
		b.removing = p.Remove
		switch {
		case b.interrupt != nil:
			c.queue.Add(p.Slug) // what was seen may be older than what its pass does
		case len(p.Steps) > 0:
			if until, _, _ := b.held(time.Now()); until.IsZero() && p.Changes() {
				c.begun(p)
			}
			c.wake(p.Slug)
		default:
			c.settle(p.Slug, p, nil)
		}
	}
	for slug, b := range c.bottles {
		if !seen[slug] && b.interrupt == nil {
			c.drop(slug)
		}
	}
}

// hold notes which bottles are kept though they are not declared any more, and why.
func (c *Controller) hold(plan Plan) {
	why := ""
	if len(plan.Held) > 0 {
		why = plan.HeldWhy
	}
	if plan.PruneErr != nil {
		why += "; to remove them: bottled sync --prune=all"
	}
	if why != c.status.HeldReason && why != "" && time.Now().After(c.believe) {
		c.Log.Warn().Strs("bottles", plan.Held).Str("why", why).Msg("kept, though not declared any more")
	}
	c.status.Held, c.status.HeldReason = plan.Held, why
}

// drop forgets a bottle that neither is declared nor exists.
func (c *Controller) drop(slug string) {
	delete(c.bottles, slug)
	c.Reconciler.forget(slug)
}

// Live is what the controller tells.
func (c *Controller) Live() Live {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := c.status
	live := Live{Controller: &status, Bottles: []BottleStatus{}}
	for _, slug := range slices.Sorted(maps.Keys(c.bottles)) {
		b := c.bottles[slug].status
		if e := c.status.Engine; !e.Reachable && !e.Since.IsZero() {
			b = unreachable(b, e)
		}
		live.Bottles = append(live.Bottles, b)
	}
	return live
}

// unreachable is how a bottle's status is told while the engine does not answer: as it was seen last, and not known.
func unreachable(b BottleStatus, e EngineStatus) BottleStatus {
	b.Ready, b.Reason, b.Message = false, ReasonUnreachable, e.Error
	b.Conditions = conditions(b.Conditions, b, settled, e.Since)
	return b
}

// Changed returns a channel that receives when Live may have changed, and a function that ends that.
func (c *Controller) Changed() (changes <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribers[ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, ch)
	}
}

func (c *Controller) changed() {
	for ch := range c.subscribers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Ready is nil once everything was looked at, as long as the engine answers.
func (c *Controller) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.read:
		return fmt.Errorf("the manifests were not read yet: %s", c.status.SourceError)
	case !c.status.Engine.Reachable:
		return fmt.Errorf("%w: %s", state.ErrUnavailable, c.status.Engine.Error)
	case c.status.Syncs == 0:
		return errors.New("the first look at everything is not done yet")
	}
	return nil
}

// Declared are the bottles that the manifests declared when they were read last.
func (c *Controller) Declared() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var slugs []string
	for slug := range c.bottles {
		if !slices.Contains(c.status.Held, slug) {
			slugs = append(slugs, slug)
		}
	}
	slices.SortFunc(slugs, strings.Compare)
	return slugs
}
