package pass

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// Reconciler makes passes. It is safe for concurrent use.
type Reconciler struct {
	Settings state.Settings
	Observer observe.Observer
	Executor *execute.Executor
	Getenv   func(string) (string, bool) // where tokens named by `env` are found
	// TokenCommands run the commands of tokens; nil in a process that only plans.
	TokenCommands *resolve.TokenCommands
	// HostReversePathFilter reports whether the host is known to drop packets whose senders it has no route back to.
	HostReversePathFilter func() (bool, error)

	intervening sync.Mutex // held while what an operator asks is changed

	mu          sync.Mutex                // never held while a file or the engine is read
	builds      *buildcontext.Reader      // see buildReader
	dockerfile  []byte                    // of a preview
	applied     map[string]declaration    // by slug: what could be rendered last
	examined    map[string]declaration    // by slug: read for a pass to come (see InputsChanged)
	generations map[string]generation     // by slug: of the newest declaration
	running     map[string][]writtenPlace // by slug: what the containers that run can write
	users       *engine.UserMapping       // of the engine; nil until it was asked
	reserved    map[string]state.Subnets  // by slug: networks of bottles that are observed one by one may not exist yet
}

// Options of one pass.
type Options struct {
	Prune plan.PrunePolicy
	Deep  bool   // inspect every container, whatever the cache knows
	Slug  string // the only bottle to observe; "" for all
}

// Result is how a pass ended.
type Result struct {
	Plan    plan.Plan
	Bottles []reconciler.BottleStatus
	// Failed holds the errors of bottles that are not as declared.
	Failed map[string]error
}

// planned is a plan with what it was made of.
type planned struct {
	plan.Plan
	want plan.Desired
	refs []string // images
}

// Plan observes what runs and returns what a pass would do. It changes nothing.
func (r *Reconciler) Plan(ctx context.Context, m source.Snapshot, o Options) (plan.Plan, error) {
	p, err := r.observeAndPlan(ctx, m, o)
	return p.Plan, err
}

// observeAndPlan is everything of a pass but the execution; see Once.
func (r *Reconciler) observeAndPlan(ctx context.Context, m source.Snapshot, o Options) (planned, error) {
	refs := r.knownImages(m)
	have, err := r.Observer.Observe(ctx, observe.Options{Slug: o.Slug, Refs: refs, Deep: o.Deep})
	if err != nil {
		return planned{}, err
	}
	if err := r.learnUsers(ctx, m); err != nil {
		return planned{}, err
	}
	r.recordWritable(have, o.Slug)
	bottles := r.resolve(m)
	if built := missing(r.images(bottles), refs); len(built) > 0 {
		images, err := r.Observer.Images(ctx, built)
		if err != nil {
			return planned{}, err
		}
		maps.Copy(have.Images, images)
		refs = append(refs, built...)
	}
	subnets, unplaced := r.place(bottles, have)
	asked, err := r.readInterventions(o.Slug)
	if err != nil {
		return planned{}, err
	}
	want := r.render(m, bottles, placement{subnets, unplaced}, asked)
	if o.Slug != "" {
		have.Networks = slices.DeleteFunc(have.Networks, func(n engine.ObservedNetwork) bool {
			return n.Labels[state.LabelOwner] == r.Settings.Owner && n.Labels[state.LabelSlug] != o.Slug // another bottle's
		})
	}
	return planned{r.compare(want, have, o), want, refs}, nil
}

func (r *Reconciler) compare(want plan.Desired, have observe.Observed, o Options) plan.Plan {
	return plan.Compute(want, have, r.Settings.Owner, r.Settings.StateDir, o.Prune)
}

// Attempts is how often a pass is made again because the engine changed under it.
const Attempts = 5

// RetryDelay is the pause after an attempt, the first being 1.
func RetryDelay(attempt int) time.Duration { return time.Duration(attempt) * 200 * time.Millisecond }

// Once makes one pass over all bottles and verifies it: a bottle counts as converged when a second observation finds nothing left
// to do. The stages of a pass:
//
//  1. observe: what runs, what exists, and so what agents can write (state/observe).
//  2. resolve: what the manifests refer to is read, once: tokens, the CA bundle, the sources of mounts, the agents' environment, build
//     contexts. The commands of tokens have been run before, once for all bottles. No lock is held, since a file system may take its time. What can't be read fails its own bottle only, which is then kept as it was
//     declared last (resolve).
//  3. place: each bottle gets its subnets. Nothing else of what is desired depends on what was observed (place).
//  4. render: a resolved, placed declaration becomes networks, containers and files. It is pure (state/render).
//  5. plan: desired and observed state are compared. It is pure; the result is a graph of steps (reconciler/plan).
//  6. execute: the only stage that changes the engine (reconciler/execute). When a bottle's containers are as declared, its record
//     is saved (state/store).
//
// A pass whose plan turns out to be outdated is made again, from the first stage.
func (r *Reconciler) Once(ctx context.Context, m source.Snapshot, o Options) (Result, error) {
	r.Declare(m)
	r.FollowTokenCommands(m)
	r.TokenCommands.RunOnce(ctx)
	var result Result
	for attempt := 1; ; attempt++ {
		p, err := r.observeAndPlan(ctx, m, o)
		if err != nil {
			return result, err
		}
		if attempt == 1 {
			result.Plan = p.Plan
		}
		result.Failed = r.Execute(ctx, p.Plan)
		after := p.Plan
		if p.Changes() {
			have, err := r.Observer.Observe(context.WithoutCancel(ctx), observe.Options{Refs: p.refs})
			if err != nil {
				return result, fmt.Errorf("verify: %w", err)
			}
			after = r.compare(p.want, have, o)
		}
		if !shouldRetry(after, result.Failed, attempt) || !pause(ctx, RetryDelay(attempt)) {
			result.judge(after)
			return result, r.Observer.Cache.Save()
		}
	}
}

// pause waits, and returns false when ctx has ended before that.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Execute carries out the plans of all bottles side by side and returns the error of each bottle that failed.
func (r *Reconciler) Execute(ctx context.Context, p plan.Plan) map[string]error {
	var mu sync.Mutex
	failed := map[string]error{}
	var group sync.WaitGroup
	for _, b := range p.Bottles {
		group.Go(func() {
			if err := r.ExecuteBottle(ctx, b); err != nil {
				mu.Lock()
				failed[b.Slug] = err
				mu.Unlock()
			}
		})
	}
	group.Wait()
	_ = os.Remove(r.Settings.RunDir) // it goes with the last bottle's tokens, and fails as long as there are others
	return failed
}

// ExecuteBottle carries out the plan of one bottle and saves the record of its declaration. What the plan knows of the agent's runs
// is on record before its first step: whenever bottled is killed, the next plan knows which runs may be followed by another one.
func (r *Reconciler) ExecuteBottle(ctx context.Context, p plan.BottlePlan) error {
	if p.Runs != nil {
		if err := store.SaveRuns(r.Settings, p.Slug, *p.Runs); err != nil {
			return err
		}
	}
	err := r.Executor.Bottle(ctx, p)
	return errors.Join(err, r.saveRecord(p, err), r.endSuspension(p))
}

// shouldRetry reports whether another attempt is worth it: always when a step met something that the plan did not know of; once
// when all steps were done and something is still to do (a call of a process that was killed a moment ago, say).
func shouldRetry(after plan.Plan, failed map[string]error, attempt int) bool {
	for _, b := range after.Bottles {
		err := failed[b.Slug]
		if errors.Is(err, execute.ErrStale) && attempt < Attempts || err == nil && b.Changes() && attempt == 1 {
			return true
		}
	}
	return false
}

// judge compares the outcome with what an observation after the pass still finds to do.
func (result *Result) judge(after plan.Plan) {
	for _, b := range after.Bottles {
		if result.Failed[b.Slug] == nil && b.Changes() {
			result.Failed[b.Slug] = fmt.Errorf("it is not as declared after the pass: %s", DescribeSteps(b.Steps))
		}
		if b.Remove && result.Failed[b.Slug] == nil {
			continue
		}
		result.Bottles = append(result.Bottles, plan.StatusOf(b, result.Failed[b.Slug]))
	}
}

// DescribeSteps returns what the steps do, in one line.
func DescribeSteps(steps []plan.Step) string {
	var parts []string
	for _, s := range steps {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", s.Action, s.Object, s.Cause))
	}
	return strings.Join(slices.Compact(parts), "; ")
}
