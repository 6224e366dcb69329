package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
)

// ErrInvalid marks a bottle whose manifest is wrong: it keeps running as it was declared last.
var ErrInvalid = errors.New("its manifest is invalid, so it is left as it is")

// Reconciler makes passes: read, plan, execute, verify.
type Reconciler struct {
	Settings state.Settings
	Observer state.Observer
	Executor *Executor
	Getenv   func(string) (string, bool) // where tokens named by `env` are found
}

// Options of one pass.
type Options struct {
	Prune PrunePolicy
	Deep  bool // inspect every container, whatever the cache knows
}

// Result is how a pass ended.
type Result struct {
	Plan    Plan
	Bottles []BottleStatus
	// Failed holds the errors of bottles that are not as declared.
	Failed map[string]error
}

// Plan reads what runs and says what a pass would do. It changes nothing.
func (r *Reconciler) Plan(ctx context.Context, m manifests.Snapshot, o Options) (Plan, error) {
	plan, _, err := r.look(ctx, m, o)
	return plan, err
}

func (r *Reconciler) look(ctx context.Context, m manifests.Snapshot, o Options) (Plan, Desired, error) {
	have, err := r.Observer.Observe(ctx, r.references(m), o.Deep)
	if err != nil {
		return Plan{}, Desired{}, err
	}
	want := r.desire(m, have)
	return r.compare(want, have, o), want, nil
}

func (r *Reconciler) compare(want Desired, have state.Observed, o Options) Plan {
	return MakePlan(want, have, r.Settings.Owner, r.Settings.StateDir, o.Prune)
}

// attempts is how often a pass is made again because the engine changed under it.
const attempts = 5

// Once makes one pass and verifies it: a bottle counts as converged when a second look finds nothing left to do.
func (r *Reconciler) Once(ctx context.Context, m manifests.Snapshot, o Options) (Result, error) {
	var result Result
	for attempt := 1; ; attempt++ {
		plan, want, err := r.look(ctx, m, o)
		if err != nil {
			return result, err
		}
		if attempt == 1 {
			result.Plan = plan
		}
		result.Failed = r.Executor.Run(ctx, plan)
		after := plan
		if plan.Changes() {
			have, err := r.Observer.Observe(context.WithoutCancel(ctx), r.references(m), false)
			if err != nil {
				return result, fmt.Errorf("verify: %w", err)
			}
			after = r.compare(want, have, o)
		}
		if ctx.Err() != nil || !again(after, result.Failed, attempt) {
			result.judge(after)
			return result, r.Observer.Cache.Save()
		}
		time.Sleep(time.Duration(attempt) * 200 * time.Millisecond)
	}
}

// again says whether another attempt is worth it: always when a step met something that the plan did not know of; once
// when all steps were done and something is still to do (a call of a process that was killed a moment ago, say).
func again(after Plan, failed map[string]error, attempt int) bool {
	for _, b := range after.Bottles {
		err := failed[b.Slug]
		if errors.Is(err, errStale) && attempt < attempts || err == nil && b.Changes() && attempt == 1 {
			return true
		}
	}
	return false
}

// judge holds the outcome against what a look after the pass still finds to do.
func (result *Result) judge(after Plan) {
	for _, b := range after.Bottles {
		if result.Failed[b.Slug] == nil && b.Changes() {
			result.Failed[b.Slug] = fmt.Errorf("it is not as declared after the pass: %s", describeSteps(b.Steps))
		}
		if b.Remove && result.Failed[b.Slug] == nil {
			continue
		}
		result.Bottles = append(result.Bottles, StatusOf(b, result.Failed[b.Slug]))
	}
}

func describeSteps(steps []Step) string {
	var parts []string
	for _, s := range steps {
		if !s.Record {
			parts = append(parts, fmt.Sprintf("%s %s (%s)", s.Action, s.Object, s.Cause))
		}
	}
	return strings.Join(slices.Compact(parts), "; ")
}

// PlanDelete says what removing bottles, declared or not, would do; without slugs, all of them.
func (r *Reconciler) PlanDelete(ctx context.Context, slugs []string) (Plan, error) {
	have, err := r.Observer.Observe(ctx, nil, false)
	if err != nil {
		return Plan{}, err
	}
	bySlug := groupBySlug(have, r.Settings.Owner)
	if len(slugs) == 0 {
		slugs = slices.Sorted(maps.Keys(bySlug))
	}
	var plan Plan
	for _, slug := range slugs {
		o, ok := bySlug[slug]
		if _, files := have.Dirs[r.Settings.BottleDir(slug)]; !ok && !files {
			return Plan{}, fmt.Errorf("there is no bottle %q of owner %q", slug, r.Settings.Owner)
		}
		plan.Bottles = append(plan.Bottles, planRemoval(slug, o, r.Settings.StateDir, "it is deleted"))
	}
	return plan, nil
}

// Status compares what runs with what was declared last.
func (r *Reconciler) Status(ctx context.Context) ([]BottleStatus, error) {
	records, err := state.ReadRecords(r.Settings)
	if err != nil {
		return nil, err
	}
	refs := map[string]bool{}
	for _, b := range records {
		for _, m := range b.Members {
			refs[m.Container.Image] = true
		}
	}
	have, err := r.Observer.Observe(ctx, slices.Sorted(maps.Keys(refs)), false)
	if err != nil {
		return nil, err
	}
	plan := MakePlan(Desired{Bottles: records}, have, r.Settings.Owner, r.Settings.StateDir, PruneAll)
	var all []BottleStatus
	for _, b := range plan.Bottles {
		if b.Remove { // it runs, and there is no record of its declaration here
			b.Steps = nil
		}
		all = append(all, StatusOf(b, b.Err))
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
		if b.Spec.Agent != nil {
			refs[b.Spec.Agent.Image] = true
		}
	}
	return slices.Sorted(maps.Keys(refs))
}

func (r *Reconciler) desire(m manifests.Snapshot, have state.Observed) Desired {
	want := Desired{Failed: map[string]error{}}
	for slug := range m.InvalidSlugs() {
		want.Failed[slug] = ErrInvalid
	}
	for _, p := range m.UnknownDocuments() {
		if !slices.Contains(want.Unknown, p.File) {
			want.Unknown = append(want.Unknown, p.File)
		}
	}
	subnets, failed := r.allocate(m, have)
	for _, b := range m.Bottles {
		slug := b.Metadata.Name
		if err := failed[slug]; err != nil {
			want.Failed[slug] = err
			continue
		}
		in, err := state.ReadInputs(b, r.Getenv)
		if err != nil {
			want.Failed[slug] = fmt.Errorf("%s:%d: %w", b.Source.Path, b.Source.Line, err)
			continue
		}
		desired, err := state.Desire(b, in, subnets[slug], r.Settings)
		if err != nil {
			want.Failed[slug] = fmt.Errorf("%s:%d: %w", b.Source.Path, b.Source.Line, err)
			continue
		}
		want.Bottles = append(want.Bottles, desired)
	}
	return want
}

func (r *Reconciler) allocate(m manifests.Snapshot, have state.Observed) (map[string]state.Subnets, map[string]error) {
	existing := map[string]state.Subnets{}
	taken := slices.Clone(have.Routes)
	for _, n := range have.Networks {
		taken = append(taken, n.Subnets...)
		if n.Labels[state.LabelOwner] != r.Settings.Owner {
			continue
		}
		slug := n.Labels[state.LabelSlug]
		existing[slug] = with(existing[slug], n.Labels[state.LabelRole], n.Subnet)
	}
	var slugs []string
	for _, b := range m.Bottles {
		slugs = append(slugs, b.Metadata.Name)
	}
	return state.Allocate(r.Settings.Pool, slugs, existing, taken)
}

func with(s state.Subnets, role string, subnet netip.Prefix) state.Subnets {
	if role == state.InternalNetwork {
		s.Internal = subnet
	} else {
		s.Egress = subnet
	}
	return s
}
