package pass

import (
	"context"
	"maps"
	"slices"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/store"
)

// PlanDelete plans the removal of bottles, declared or not; without slugs, of all of them.
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
			return plan.Plan{}, reconciler.NoBottle(slug, slices.Collect(maps.Keys(bySlug)))
		}
		planned.Bottles = append(planned.Bottles, plan.Removal(slug, o, r.Settings.StateDir, "it is deleted"))
	}
	return planned, nil
}

// Warnings returns the promises of a bottle that this engine or host can't keep, with their remedies.
func (r *Reconciler) Warnings(ctx context.Context) ([]string, error) {
	info, err := r.Observer.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	r.setUsers(info.Users)
	filtered, err := r.HostReversePathFilter()
	if err != nil {
		return nil, err
	}
	return observe.Warnings(info, filtered, r.Settings), nil
}

// Status returns the status of all bottles, by the records of what was declared last.
func (r *Reconciler) Status(ctx context.Context) ([]reconciler.BottleStatus, error) {
	records, err := store.ReadRecords(r.Settings)
	if err != nil {
		return nil, err
	}
	asked, err := r.readInterventions("")
	if err != nil {
		return nil, err
	}
	refs := map[string]bool{}
	for i, b := range records {
		records[i].Cut = asked.asked[b.Slug].Cut
		if records[i].Runs, err = store.ReadRuns(r.Settings, b.Slug); err != nil {
			return nil, err
		}
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
