package control

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/render"
)

// reread reads the manifests and queues the bottles whose declaration, or what it refers to, changed.
func (c *Controller) reread() (again time.Duration) {
	snapshot, again, err := c.Source.Read()
	revision, pullErr := c.Source.Revision()
	var inputs map[string]inputsState
	if err == nil {
		inputs = c.examineInputs(snapshot)
		c.Reconciler.Declare(snapshot)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notifySubscribers()
	if revision != c.status.Revision {
		c.Log.Info().Str("revision", revision).Msg("new revision of the manifests")
	}
	c.status.Revision = revision
	c.sourceError(errors.Join(pullErr, err))
	if err != nil {
		return again
	}
	c.logProblems(snapshot)
	c.logNotices(snapshot)
	c.Source.Follow(snapshot.References(), snapshot.Writable)
	before := c.snapshot
	first := !c.read
	c.snapshot, c.read = snapshot, true
	if first {
		c.pruneNotBefore = time.Now().Add(initialPruneDelay)
	}
	gone := c.wakeChanged(before, snapshot, inputs)
	if first || gone || c.heldDeclared() {
		c.requestResync()
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
		c.Log.Error().Err(err).Msg("no newer manifests can be had; the bottles are kept as they were declared last")
	} else {
		c.Log.Info().Msg("newer manifests can be had again")
	}
}

// problems logs what is wrong in the manifests, each problem once.
func (c *Controller) logProblems(s manifests.Snapshot) {
	var now []string
	for _, p := range s.Problems {
		text := p.Error()
		now = append(now, text)
		if !slices.Contains(c.status.Problems, text) {
			line := c.Log.Warn()
			if p.Slug != "" {
				line.Str("bottle", p.Slug)
			}
			line.Msg(text)
		}
	}
	c.status.Problems = now
}

// notices logs what is risky in the manifests or not read of them, each once.
func (c *Controller) logNotices(s manifests.Snapshot) {
	now := s.Notices()
	for _, text := range now {
		if !slices.Contains(c.loggedNotices, text) {
			c.Log.Warn().Msg(text)
		}
	}
	c.loggedNotices = now
}

// wakeChanged queues the bottles whose declaration changed, and returns whether one is no longer declared.
func (c *Controller) wakeChanged(before, now manifests.Snapshot, inputs map[string]inputsState) (gone bool) {
	old, invalid, wasInvalid := bySlug(before), now.InvalidSlugs(), before.InvalidSlugs()
	declared := bySlug(now)
	for slug, m := range declared {
		was, known := old[slug]
		switch {
		case !known || !reflect.DeepEqual(was, m):
			c.redeclared(slug, c.Reconciler.Generation(slug), render.SpecHash(m))
		case wasInvalid[slug]:
			c.enqueue(slug)
		default:
			c.reexamine(slug, inputs[slug])
		}
	}
	for slug := range invalid {
		if !wasInvalid[slug] {
			c.enqueue(slug)
		}
	}
	still := func(slug string) bool {
		_, ok := declared[slug]
		return ok || invalid[slug]
	}
	for slug := range old {
		gone = gone || !still(slug)
	}
	for slug := range wasInvalid {
		gone = gone || !still(slug)
	}
	return gone || len(before.UnknownDocuments())+len(before.Unsettled) > len(now.UnknownDocuments())+len(now.Unsettled)
}

// inputsState is how what a manifest refers to compares with what its bottle was rendered from.
type inputsState struct {
	changed bool
	err     error // it can't be known
}

// examineInputs reads what the manifests refer to, for those that are as they were. The pass that a change leads to takes what was read
// here. It is called without the lock: a file system may take its time.
func (c *Controller) examineInputs(now manifests.Snapshot) map[string]inputsState {
	c.mu.Lock()
	old := bySlug(c.snapshot)
	c.mu.Unlock()
	found := map[string]inputsState{}
	for slug, m := range bySlug(now) {
		if was, known := old[slug]; known && reflect.DeepEqual(was, m) {
			changed, err := c.Reconciler.InputsChanged(m, now.Writable)
			found[slug] = inputsState{changed, err}
		}
	}
	return found
}

// reexamine queues a bottle when what its manifest refers to changed: a pass for the old content is interrupted, and backoff ends.
func (c *Controller) reexamine(slug string, inputs inputsState) {
	switch b := c.bottle(slug); {
	case inputs.err != nil: // it may be well again, or broken now; its pass will tell
		c.enqueue(slug)
	case inputs.changed:
		b.retryNow()
		if b.interrupt != nil {
			b.interrupt(errSuperseded)
		}
		c.enqueue(slug)
	}
}

// heldDeclared reports whether a bottle that was kept though it was not declared is declared again.
func (c *Controller) heldDeclared() bool {
	declared := bySlug(c.snapshot)
	return slices.ContainsFunc(c.status.Held, func(slug string) bool {
		_, ok := declared[slug]
		return ok
	})
}

func bySlug(s manifests.Snapshot) map[string]manifests.Bottle {
	m := map[string]manifests.Bottle{}
	for _, b := range s.Bottles {
		m[b.Metadata.Name] = b
	}
	return m
}

// redeclared queues a bottle with a new declaration: its backoff ends, and a pass for the old declaration is interrupted.
func (c *Controller) redeclared(slug string, generation int64, specHash string) {
	b := c.bottle(slug)
	b.backoffs, b.resuming = nil, b.status.Reason == reconciler.ReasonSuspend
	b.generation, b.specHash = generation, specHash
	b.status.Generation, b.status.SpecHash = generation, specHash
	if b.interrupt != nil {
		b.interrupt(errSuperseded)
	}
	c.enqueue(slug)
}
