package control

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/render"
)

// readSource reads the manifests and enqueues the bottles whose declaration or inputs changed. retryAfter > 0: read again after that
// time, since a file was half-written.
func (c *Controller) readSource() (retryAfter time.Duration) {
	c.mu.Lock()
	c.readsBegun++
	read := c.readsBegun
	c.mu.Unlock()
	snapshot, retryAfter, err := c.Source.Read()
	revision, pullErr := c.Source.Revision()
	var inputs map[string]inputsState
	if err == nil {
		c.Reconciler.FollowTokenCommands(snapshot)
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
	c.recordSourceError(errors.Join(pullErr, err))
	c.unsettled = retryAfter > 0
	if c.resyncDeferred && !c.unsettled {
		c.resyncDeferred = false
		c.requestResync()
	}
	if err != nil {
		return retryAfter
	}
	c.logProblems(snapshot)
	c.logNotices(snapshot)
	c.Source.Follow(snapshot.References(), snapshot.Writable)
	before := c.snapshot
	first := !c.snapshotRead
	c.snapshot, c.snapshotRead = snapshot, true
	if first {
		c.pruneNotBefore = time.Now().Add(initialPruneDelay)
	}
	gone := c.enqueueChanged(before, snapshot, inputs)
	c.readEnded(read)
	c.publishStaleTokens()
	if first || gone || c.heldBottleDeclared() {
		c.requestResync()
	}
	return retryAfter
}

// recordSourceError publishes and logs that the source can't be read, or can again; once as long as the error stays the same.
func (c *Controller) recordSourceError(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == c.status.SourceError {
		return
	}
	c.status.SourceError = text
	if err != nil {
		c.Log.Error().Err(err).Msg("can't read newer manifests; the bottles keep their last declaration")
	} else {
		c.Log.Info().Msg("the manifests can be read again")
	}
}

// logProblems publishes the problems of the manifests and logs new ones.
func (c *Controller) logProblems(s source.Snapshot) {
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

// logNotices logs new notices: what is risky in the manifests, or not read of them.
func (c *Controller) logNotices(s source.Snapshot) {
	now := s.Notices()
	for _, text := range now {
		if !slices.Contains(c.loggedNotices, text) {
			c.Log.Warn().Msg(text)
		}
	}
	c.loggedNotices = now
}

// enqueueChanged enqueues the bottles whose declaration or inputs changed, and reports whether one is no longer declared.
func (c *Controller) enqueueChanged(before, now source.Snapshot, inputs map[string]inputsState) (gone bool) {
	old, invalid, wasInvalid := bottlesByName(before), now.InvalidSlugs(), before.InvalidSlugs()
	declared := bottlesByName(now)
	for slug, m := range declared {
		was, known := old[slug]
		switch {
		case !known || !reflect.DeepEqual(was, m):
			c.acceptDeclaration(slug, c.Reconciler.Generation(slug), render.SpecHash(m))
		case wasInvalid[slug]:
			c.enqueue(slug)
		default:
			c.enqueueIfInputsChanged(slug, inputs[slug])
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

// inputsState compares a manifest's inputs (tokens, CA bundle, environment, mounts, build context) with those that its bottle was made from.
type inputsState struct {
	changed bool
	err     error // an input can't be read
}

// examineInputs compares the inputs of the manifests that are unchanged themselves; the pass that a change leads to uses what is read
// here. Call it without holding mu: a file system may hang.
func (c *Controller) examineInputs(now source.Snapshot) map[string]inputsState {
	c.mu.Lock()
	old := bottlesByName(c.snapshot)
	c.mu.Unlock()
	found := map[string]inputsState{}
	for slug, m := range bottlesByName(now) {
		if was, known := old[slug]; known && reflect.DeepEqual(was, m) {
			changed, err := c.Reconciler.InputsChanged(m, now.Writable)
			found[slug] = inputsState{changed, err}
		}
	}
	return found
}

// enqueueIfInputsChanged ends the backoffs of a bottle whose inputs changed, interrupts its pass, and enqueues it.
func (c *Controller) enqueueIfInputsChanged(slug string, inputs inputsState) {
	switch b := c.bottle(slug); {
	case inputs.err != nil: // the pass publishes the error, if it persists
		c.enqueue(slug)
	case inputs.changed:
		c.recordEvent(reconciler.Event{
			Bottle: slug, Reason: reconciler.EventInputsChanged, Message: "a token, CA bundle, environment file, mount or build context that the manifest refers to changed",
		})
		b.retryNow()
		if b.interrupt != nil {
			b.interrupt(errSuperseded)
		}
		c.enqueue(slug)
	}
}

// publishStaleTokens publishes and logs which tokens of the declared bottles are not refreshed.
func (c *Controller) publishStaleTokens() {
	for slug, m := range bottlesByName(c.snapshot) {
		b, stale := c.bottle(slug), c.Reconciler.StaleTokens(m)
		if slices.Equal(stale, b.staleTokens) {
			continue
		}
		for _, text := range stale {
			c.Log.Warn().Str("bottle", slug).Msg(text)
		}
		b.staleTokens = stale
		c.publish(b, b.status, b.phase)
	}
}

// heldBottleDeclared reports whether a bottle that the prune guard holds is declared again.
func (c *Controller) heldBottleDeclared() bool {
	declared := bottlesByName(c.snapshot)
	return slices.ContainsFunc(c.status.Held, func(slug string) bool {
		_, ok := declared[slug]
		return ok
	})
}

func bottlesByName(s source.Snapshot) map[string]v1alpha1.Bottle {
	m := map[string]v1alpha1.Bottle{}
	for _, b := range s.Bottles {
		m[b.Metadata.Name] = b
	}
	return m
}

// acceptDeclaration records a new declaration, clears the backoffs, interrupts a pass for the old one, and enqueues the bottle.
func (c *Controller) acceptDeclaration(slug string, generation int64, specHash string) {
	b := c.bottle(slug)
	b.backoffs, b.resuming = nil, b.status.Reason == reconciler.ReasonSuspend
	b.generation, b.specHash = generation, specHash
	b.traffic.ForgetRoutes()
	b.status.Generation, b.status.SpecHash = generation, specHash
	c.recordEvent(reconciler.Event{Bottle: slug, Reason: reconciler.EventDeclared, Message: fmt.Sprintf("generation %d", generation)})
	if b.interrupt != nil {
		b.interrupt(errSuperseded)
	}
	c.enqueue(slug)
}
