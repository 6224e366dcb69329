package pass

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// Reconciler makes passes: read, plan, execute, verify.
type Reconciler struct {
	Settings state.Settings
	Observer observe.Observer
	Executor *execute.Executor
	Getenv   func(string) (string, bool) // where tokens named by `env` are found
	// Filtered tells whether the host is known to drop packets whose senders it has no route back to.
	HostReversePathFilter func() (bool, error)

	builds buildcontext.Reader

	mu       sync.Mutex
	applied  map[string]declaration    // by slug: what could be carried out last
	running  map[string][]writtenPlace // by slug: what the containers that run can write
	reserved map[string]state.Subnets  // by slug: networks of bottles that are looked at one by one may not exist yet
}

// declaration is a manifest with what it refers to.
type declaration struct {
	manifest manifests.Bottle
	inputs   resolve.Inputs
}

// Options of one pass.
type Options struct {
	Prune plan.PrunePolicy
	Deep  bool // inspect every container, whatever the cache knows
	Slug  string
}

// Result is how a pass ended.
type Result struct {
	Plan    plan.Plan
	Bottles []reconciler.BottleStatus
	// Failed holds the errors of bottles that are not as declared.
	Failed map[string]error
}

// Plan reads what runs and says what a pass would do. It changes nothing.
func (r *Reconciler) Plan(ctx context.Context, m manifests.Snapshot, o Options) (plan.Plan, error) {
	plan, _, err := r.observeAndPlan(ctx, m, o)
	return plan, err
}

func (r *Reconciler) observeAndPlan(ctx context.Context, m manifests.Snapshot, o Options) (plan.Plan, plan.Desired, error) {
	have, err := r.Observer.Observe(ctx, observe.Options{Slug: o.Slug, Refs: r.references(m), Deep: o.Deep})
	if err != nil {
		return plan.Plan{}, plan.Desired{}, err
	}
	r.recordWritable(have, o.Slug)
	want := r.render(m, have)
	if o.Slug != "" {
		have.Networks = slices.DeleteFunc(have.Networks, func(n engine.ObservedNetwork) bool {
			return n.Labels[state.LabelOwner] == r.Settings.Owner && n.Labels[state.LabelSlug] != o.Slug // another bottle's
		})
	}
	return r.compare(want, have, o), want, nil
}

func (r *Reconciler) compare(want plan.Desired, have observe.Observed, o Options) plan.Plan {
	return plan.Compute(want, have, r.Settings.Owner, r.Settings.StateDir, o.Prune)
}

// attempts is how often a pass is made again because the engine changed under it.
const Attempts = 5

// Once makes one pass and verifies it: a bottle counts as converged when a second look finds nothing left to do.
func (r *Reconciler) Once(ctx context.Context, m manifests.Snapshot, o Options) (Result, error) {
	var result Result
	for attempt := 1; ; attempt++ {
		plan, want, err := r.observeAndPlan(ctx, m, o)
		if err != nil {
			return result, err
		}
		if attempt == 1 {
			result.Plan = plan
		}
		result.Failed = r.Executor.Run(ctx, plan)
		after := plan
		if plan.Changes() {
			have, err := r.Observer.Observe(context.WithoutCancel(ctx), observe.Options{Refs: r.references(m)})
			if err != nil {
				return result, fmt.Errorf("verify: %w", err)
			}
			after = r.compare(want, have, o)
		}
		if ctx.Err() != nil || !shouldRetry(after, result.Failed, attempt) {
			result.judge(after)
			return result, r.Observer.Cache.Save()
		}
		time.Sleep(time.Duration(attempt) * 200 * time.Millisecond)
	}
}

// again says whether another attempt is worth it: always when a step met something that the plan did not know of; once
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

// judge holds the outcome against what a look after the pass still finds to do.
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

func DescribeSteps(steps []plan.Step) string {
	var parts []string
	for _, s := range steps {
		if !s.Record {
			parts = append(parts, fmt.Sprintf("%s %s (%s)", s.Action, s.Object, s.Cause))
		}
	}
	return strings.Join(slices.Compact(parts), "; ")
}

// PlanDelete says what removing bottles, declared or not, would do; without slugs, all of them.
func (r *Reconciler) PlanDelete(ctx context.Context, slugs []string) (plan.Plan, error) {
	have, err := r.Observer.Observe(ctx, observe.Options{})
	if err != nil {
		return plan.Plan{}, err
	}
	bySlug := plan.GroupBySlug(have, r.Settings.Owner)
	if len(slugs) == 0 {
		slugs = slices.Sorted(maps.Keys(bySlug))
	}
	var planned plan.Plan
	for _, slug := range slugs {
		o, ok := bySlug[slug]
		if _, files := have.Dirs[r.Settings.BottleDir(slug)]; !ok && !files {
			return plan.Plan{}, fmt.Errorf("there is no bottle %q of owner %q", slug, r.Settings.Owner)
		}
		planned.Bottles = append(planned.Bottles, plan.Removal(slug, o, r.Settings.StateDir, "it is deleted"))
	}
	return planned, nil
}

// Gaps asks what of a bottle's promises the engine can't keep.
func (r *Reconciler) Warnings(ctx context.Context) ([]string, error) {
	info, err := r.Observer.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	filtered, err := r.HostReversePathFilter()
	if err != nil {
		return nil, err
	}
	return observe.Warnings(info, filtered, r.Settings), nil
}

// Status compares what runs with what was declared last.
func (r *Reconciler) Status(ctx context.Context) ([]reconciler.BottleStatus, error) {
	records, err := store.ReadRecords(r.Settings)
	if err != nil {
		return nil, err
	}
	refs := map[string]bool{}
	for _, b := range records {
		for _, m := range b.Components {
			refs[m.Container.Image] = true
		}
	}
	have, err := r.Observer.Observe(ctx, observe.Options{Refs: slices.Sorted(maps.Keys(refs))})
	if err != nil {
		return nil, err
	}
	planned := plan.Compute(plan.Desired{Bottles: records}, have, r.Settings.Owner, r.Settings.StateDir, plan.PruneAll)
	var all []reconciler.BottleStatus
	for _, b := range planned.Bottles {
		if b.Remove { // it runs, and there is no record of its declaration here
			b.Steps = nil
		}
		all = append(all, plan.StatusOf(b, b.Err))
	}
	return all, nil
}

// references are the images that the manifests' containers are made from.
func (r *Reconciler) references(m manifests.Snapshot) []string {
	refs := map[string]bool{}
	for _, ref := range r.Settings.SidecarImages() {
		refs[ref] = true
	}
	for _, b := range m.Bottles {
		if ref := r.agentImage(b, m.Writable); ref != "" {
			refs[ref] = true
		}
	}
	return slices.Sorted(maps.Keys(refs))
}

// agentImage is the image that the bottle's agent is made from; "" when there is none, or when it can't be known, for a reason
// that the bottle itself fails for.
func (r *Reconciler) agentImage(b manifests.Bottle, writable safepath.Set) string {
	build, err := r.inputReader(b.Metadata.Name, writable).Build(b)
	if err != nil {
		return ""
	}
	image, err := r.Settings.ImageOfAgent(b, build)
	if err != nil {
		return ""
	}
	return image
}

func (r *Reconciler) render(m manifests.Snapshot, have observe.Observed) plan.Desired {
	want := plan.Desired{Failed: map[string]error{}, Stale: map[string]error{}}
	for _, p := range m.UnknownDocuments() {
		if !slices.Contains(want.Unknown, p.File) {
			want.Unknown = append(want.Unknown, p.File)
		}
	}
	want.Unknown = append(want.Unknown, m.Unsettled...)
	invalid := r.lastDeclared(m, want.Stale)
	for slug := range m.InvalidSlugs() {
		if want.Stale[slug] == nil {
			want.Failed[slug] = fmt.Errorf("%w, so it is left as it is", reconciler.ErrInvalid)
		}
	}
	for _, u := range m.Unread {
		want.Unread = append(want.Unread, u.Abs)
	}
	all := append(slices.Clone(m.Bottles), invalid...)
	subnets, failed := r.allocate(all, have)
	for _, b := range all {
		slug := b.Metadata.Name
		if err := failed[slug]; err != nil {
			want.Failed[slug] = err
			continue
		}
		desired, stale, err := r.renderBottle(b, m.Writable, subnets[slug])
		switch {
		case err != nil:
			want.Failed[slug] = err
			delete(want.Stale, slug)
			continue
		case stale != nil:
			want.Stale[slug] = errors.Join(want.Stale[slug], stale)
		}
		want.Bottles = append(want.Bottles, desired)
	}
	return want
}

// lastDeclared returns, for the bottles whose manifest is invalid now, what was declared last: as this process knows it
// or, after a restart, as the state directory does. Where that is not known, the bottle is left out.
func (r *Reconciler) lastDeclared(m manifests.Snapshot, stale map[string]error) []manifests.Bottle {
	var known []manifests.Bottle
	for slug := range m.InvalidSlugs() {
		if last, ok := r.lastApplied(slug); ok {
			known = append(known, last.manifest)
		} else if last, ok, err := store.LastDeclared(r.Settings, slug); ok && err == nil {
			known = append(known, last)
		} else {
			continue
		}
		stale[slug] = fmt.Errorf("%w, so it is kept as it was declared last", reconciler.ErrInvalid)
	}
	return known
}

// carryOut makes a bottle out of a manifest. When what the manifest refers to can't be read any more, the bottle is as it
// was declared last, and stale says why; err is for when that is not known. The mounts of what was declared last are judged
// again, and where one must not be mounted any more, the agent is not started.
func (r *Reconciler) renderBottle(b manifests.Bottle, writable safepath.Set, subnets state.Subnets) (desired state.Bottle, stale, err error) {
	inputs := r.inputReader(b.Metadata.Name, writable)
	in, err := inputs.Read(b)
	if err == nil {
		if desired, err = render.Bottle(b, in, subnets, r.Settings); err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.applied == nil {
				r.applied = map[string]declaration{}
			}
			r.applied[b.Metadata.Name] = declaration{b, in}
			return desired, nil, nil
		}
	}
	err = fmt.Errorf("%s:%d: %w", b.Source.Path, b.Source.Line, err)
	last, ok := r.lastApplied(b.Metadata.Name)
	if !ok {
		return state.Bottle{}, nil, err
	}
	desired, lastErr := render.Bottle(last.manifest, last.inputs, subnets, r.Settings)
	if lastErr != nil {
		return state.Bottle{}, nil, errors.Join(err, lastErr)
	}
	if _, mountErr := inputs.Mounts(last.manifest); mountErr != nil {
		desired.Block(state.Agent, "it is not started while one of its mounts is refused")
	}
	return desired, fmt.Errorf("%w; it is kept as it was declared last", err), nil
}

func (r *Reconciler) lastApplied(slug string) (declaration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.applied[slug]
	return last, ok
}

// inputsChanged says whether what a manifest refers to reads otherwise than when the bottle was made of it. The error is for
// when that can't be known.
func (r *Reconciler) InputsChanged(m manifests.Bottle, writable safepath.Set) (bool, error) {
	last, ok := r.lastApplied(m.Metadata.Name)
	if !ok {
		return false, errors.New("the bottle was never made of it")
	}
	in, err := r.inputReader(m.Metadata.Name, writable).Read(m)
	return !reflect.DeepEqual(in, last.inputs), err
}

// forget drops what is known of a bottle that is gone.
func (r *Reconciler) Forget(slug string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.applied, slug)
	delete(r.running, slug)
	delete(r.reserved, slug)
}

func (r *Reconciler) allocate(bottles []manifests.Bottle, have observe.Observed) (map[string]state.Subnets, map[string]error) {
	existing := map[string]state.Subnets{}
	taken := slices.Clone(have.Routes)
	for _, n := range have.Networks {
		taken = append(taken, n.Subnets...)
		if n.Labels[state.LabelOwner] != r.Settings.Owner {
			continue
		}
		slug := n.Labels[state.LabelSlug]
		existing[slug] = withSubnet(existing[slug], n.Labels[state.LabelRole], n.Subnet)
	}
	var slugs []string
	for _, b := range bottles {
		slugs = append(slugs, b.Metadata.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for slug, s := range r.reserved {
		if !slices.Contains(slugs, slug) {
			taken = append(taken, s.Internal, s.Egress)
		}
	}
	got, failed := state.Allocate(r.Settings.Pool, slugs, existing, taken)
	if r.reserved == nil {
		r.reserved = map[string]state.Subnets{}
	}
	maps.Copy(r.reserved, got)
	return got, failed
}

func withSubnet(s state.Subnets, role string, subnet netip.Prefix) state.Subnets {
	if role == state.InternalNetwork {
		s.Internal = subnet
	} else {
		s.Egress = subnet
	}
	return s
}
