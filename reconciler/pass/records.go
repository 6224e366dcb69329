package pass

import (
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/store"
)

// generation is a bottle's generation and the digest of the spec that has it.
type generation struct {
	number   int64
	specHash string
}

// Declare numbers the declarations of a snapshot: a bottle's generation grows by one when its spec is another one than before, or
// than its record says. Snapshots are declared in the order in which they were read.
func (r *Reconciler) Declare(m source.Snapshot) {
	for _, b := range m.Bottles {
		next := r.nextGeneration(b)
		r.mu.Lock()
		r.generations = with(r.generations, b.Metadata.Name, next)
		r.mu.Unlock()
	}
}

func (r *Reconciler) nextGeneration(b v1alpha1.Bottle) generation {
	next := generation{specHash: render.SpecHash(b)}
	r.mu.Lock()
	last, known := r.generations[b.Metadata.Name]
	r.mu.Unlock()
	if !known {
		// A record that can't be read is as good as none. What is wrong with it is found when it is saved.
		if recorded, found, err := store.ReadRecord(r.Settings, b.Metadata.Name); err == nil && found {
			last = generation{recorded.Generation, recorded.SpecHash}
		}
	}
	next.number = last.number
	if last.specHash != next.specHash {
		next.number++
	}
	return next
}

// Generation returns the generation of a bottle's newest declaration; 0 when none was declared.
func (r *Reconciler) Generation(slug string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generations[slug].number
}

// generation returns the generation of a manifest; 0 when it is not the newest declaration any more.
func (r *Reconciler) generation(b v1alpha1.Bottle) int64 {
	r.mu.Lock()
	newest, known := r.generations[b.Metadata.Name]
	last, applied := r.applied[b.Metadata.Name]
	r.mu.Unlock()
	hash := render.SpecHash(b)
	switch {
	case !known:
		return r.nextGeneration(b).number
	case newest.specHash == hash:
		return newest.number
	case applied && render.SpecHash(last.manifest) == hash:
		return last.generation
	}
	return 0
}

// saveRecord saves what a bottle was made from, once its containers are as declared. err is the outcome of the execution.
func (r *Reconciler) saveRecord(p plan.BottlePlan, err error) error {
	if p.Desired == nil || p.Desired.Generation == 0 || p.Partial || err != nil && !madeAsDeclared(err) {
		return nil
	}
	return store.SaveRecord(r.Settings, *p.Desired)
}

// madeAsDeclared reports whether a failed execution got as far as starting the containers. A session (bottled run) may then be what
// it takes to find out why one does not become ready, and it is made from the record.
func madeAsDeclared(err error) bool {
	failed := execute.StepErrors(err)
	for _, f := range failed {
		if a := f.Step.Action; a != plan.Start && a != plan.Await && a != plan.Reload {
			return false
		}
	}
	return len(failed) > 0
}
