package pass

import (
	"reflect"

	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// interventions is what an operator asks of bottles, and why that can't be known of others.
type interventions struct {
	asked  map[string]state.Intervention
	failed map[string]error
}

// readInterventions reads what an operator asks of a bottle; of all without a name.
func (r *Reconciler) readInterventions(slug string) (interventions, error) {
	all := interventions{asked: map[string]state.Intervention{}, failed: map[string]error{}}
	slugs := []string{slug}
	if slug == "" {
		var err error
		if slugs, err = store.Interventions(r.Settings); err != nil {
			return all, err
		}
	}
	for _, slug := range slugs {
		i, err := store.ReadIntervention(r.Settings, slug)
		if err != nil {
			all.failed[slug] = err
		} else {
			all.asked[slug] = i
		}
	}
	return all, nil
}

// cut returns the bottles that are cut off.
func (all interventions) cut() map[string]bool {
	cut := map[string]bool{}
	for slug, i := range all.asked {
		if i.Cut {
			cut[slug] = true
		}
	}
	return cut
}

// Intervene changes what an operator asks of a bottle. A pass carries it out.
func (r *Reconciler) Intervene(slug string, change func(*state.Intervention)) error {
	r.intervening.Lock()
	defer r.intervening.Unlock()
	i, err := store.ReadIntervention(r.Settings, slug)
	if err != nil {
		return err
	}
	before := i
	if change(&i); reflect.DeepEqual(before, i) {
		return nil
	}
	return store.SaveIntervention(r.Settings, slug, i)
}

// endSuspension forgets a suspension that was asked for an earlier spec: should that spec come back, the bottle is to run.
func (r *Reconciler) endSuspension(p plan.BottlePlan) error {
	r.mu.Lock()
	newest := r.generations[p.Slug].specHash
	r.mu.Unlock()
	if p.Desired == nil || p.Desired.SpecHash != newest || p.Desired.SuspendedByOperator {
		return nil
	}
	return r.Intervene(p.Slug, func(i *state.Intervention) {
		if i.SuspendedSpec != newest {
			i.SuspendedSpec = ""
		}
	})
}
