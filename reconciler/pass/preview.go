package pass

import (
	"context"
	"fmt"
	"maps"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// Preview plans one bottle as if a snapshot were what is declared and, unless it is nil, dockerfile what its agent's build context has. Unlike
// Plan it works on a copy of what r knows, so that the passes to come don't take the snapshot for a declaration. A declaration that can't be
// carried out is an error.
func (r *Reconciler) Preview(ctx context.Context, m source.Snapshot, slug string, dockerfile []byte) (plan.BottlePlan, error) {
	scratch := r.scratch()
	scratch.dockerfile = dockerfile
	p, err := scratch.Plan(ctx, m.Only(slug), Options{Prune: plan.PruneNone, Slug: slug})
	if err != nil {
		return plan.BottlePlan{}, err
	}
	for _, b := range p.Bottles {
		switch {
		case b.Slug != slug:
		case b.Err != nil:
			return plan.BottlePlan{}, b.Err
		case b.Stale != nil:
			return plan.BottlePlan{}, b.Stale
		default:
			return b, nil
		}
	}
	return plan.BottlePlan{}, fmt.Errorf("bottle %s is not declared", slug)
}

// scratch returns a Reconciler that begins with what r knows.
func (r *Reconciler) scratch() *Reconciler {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Reconciler{
		Settings: r.Settings, Observer: r.Observer, Executor: r.Executor, Getenv: r.Getenv, TokenCommands: r.TokenCommands,
		HostReversePathFilter: r.HostReversePathFilter, builds: r.buildReader(), applied: maps.Clone(r.applied), generations: maps.Clone(r.generations),
		running: maps.Clone(r.running), users: r.users, reserved: maps.Clone(r.reserved),
	}
}
