package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// Proposals returns what agents ask for, the oldest first; see approve.Desk.
func (c *Controller) Proposals() []reconciler.Proposal { return c.Desk.Proposals() }

// Review returns everything that a person needs to decide about a proposal.
func (c *Controller) Review(ctx context.Context, id string) (reconciler.Review, error) {
	return c.Desk.Review(ctx, id)
}

// Decide accepts a person's decision about a proposal. It is carried out after Decide has returned.
func (c *Controller) Decide(ctx context.Context, by, id string, request reconciler.DecisionRequest) error {
	return c.Desk.Decide(ctx, by, id, request)
}

// Allow adds a host to a bottle's allowlist, as a person wishes; see approve.Desk.
func (c *Controller) Allow(ctx context.Context, by, slug string, request reconciler.AllowRequest) (id string, err error) {
	if err := c.exists(slug); err != nil {
		return "", err
	}
	return c.Desk.Allow(ctx, by, slug, request)
}

// ReviewRollback returns what Rollback would change; see approve.Desk.
func (c *Controller) ReviewRollback(ctx context.Context, slug string) (reconciler.Review, error) {
	if err := c.exists(slug); err != nil {
		return reconciler.Review{}, err
	}
	return c.Desk.ReviewRollback(ctx, slug)
}

// Rollback gives a bottle's agent the previous Dockerfile back; see approve.Desk.
func (c *Controller) Rollback(ctx context.Context, by, slug string, request reconciler.RollbackRequest) (id string, err error) {
	if err := c.exists(slug); err != nil {
		return "", err
	}
	return c.Desk.Rollback(ctx, by, slug, request)
}

// exists fails for a name that no bottle has.
func (c *Controller) exists(slug string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bottles[slug] != nil {
		return nil
	}
	return reconciler.NoBottle(slug, slices.Sorted(maps.Keys(c.bottles)))
}

// Writable returns what agents can write; false before the manifests were read.
func (c *Controller) Writable() (safepath.Set, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snapshot.Writable, c.snapshotRead
}

// Declaration returns a bottle as it was declared when the manifests were last read; false where it has no valid declaration.
func (c *Controller) Declaration(slug string) (approve.Declaration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.snapshot.Bottles {
		if b.Metadata.Name == slug {
			return approve.Declaration{Bottle: b, Policy: c.snapshot.Policy}, true
		}
	}
	return approve.Declaration{}, false
}

// Known reports whether a bottle is declared, validly or not, or runs.
func (c *Controller) Known(slug string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bottles[slug] != nil
}

// Preview plans a bottle as if a snapshot were what is declared, and a Dockerfile, unless it is nil, its agent's. It changes nothing.
func (c *Controller) Preview(ctx context.Context, m source.Snapshot, slug string, dockerfile []byte) (plan.BottlePlan, error) {
	return c.Reconciler.Preview(ctx, m, slug, dockerfile)
}

// Record records an event.
func (c *Controller) Record(e reconciler.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recordEvent(e)
}

// proposalsChanged publishes that what agents ask for, or what became of it, has changed.
func (c *Controller) proposalsChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notifySubscribers()
}

// readAgainAfter is how long Converge waits for a read of the manifests that succeeds before it requests another one.
const readAgainAfter = time.Second

// Converge reads the manifests anew and waits until a pass that began after that has found the bottle as declared: ready, or stopped as it
// is meant to be. specHash is the digest of the declaration that it waits for. It fails with approve.ErrSuperseded when the manifests
// declare something else, and with the bottle's own problem when that needs somebody's help. An error of ctx comes with the last status.
func (c *Controller) Converge(ctx context.Context, slug, specHash string) error {
	changes, stop := c.Changed()
	defer stop()
	c.mu.Lock()
	read := c.requestRead(slug)
	c.mu.Unlock()
	again := time.NewTicker(readAgainAfter)
	defer again.Stop()
	for {
		c.mu.Lock()
		done, err := c.convergence(slug, specHash, read)
		description := c.describeProgress(slug)
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), description)
		case <-changes:
		case <-again.C:
			c.mu.Lock()
			if c.readsEnded < read {
				c.wakeReader()
			}
			c.mu.Unlock()
		}
	}
}

// requestRead requests a read of the manifests, after which the bottle is awaited (see readEnded), and returns its number.
func (c *Controller) requestRead(slug string) int64 {
	c.awaitRead[slug] = c.readsBegun + 1
	c.wakeReader()
	return c.readsBegun + 1
}

func (c *Controller) wakeReader() {
	select {
	case c.readRequested <- struct{}{}:
	default:
	}
}

// readEnded has passes made over the bottles for which a read was requested before it began.
func (c *Controller) readEnded(read int64) {
	c.readsEnded = read
	for slug, number := range c.awaitRead {
		if number > read {
			continue
		}
		delete(c.awaitRead, slug)
		if b := c.bottles[slug]; b != nil {
			b.awaitedSince, b.answering = time.Now(), false
			c.enqueue(slug)
		}
	}
}

// convergence reports whether a bottle is as Converge waits for, or why it won't be.
func (c *Controller) convergence(slug, specHash string, read int64) (done bool, err error) {
	b := c.bottles[slug]
	declared := b != nil && b.specHash == specHash
	switch {
	case c.readsEnded < read, c.unsettled && !declared:
		return false, nil
	case b == nil:
		return false, approve.ErrSuperseded
	case c.snapshot.InvalidSlugs()[slug]:
		return false, c.problemOf(slug)
	case !declared:
		return false, approve.ErrSuperseded
	case !b.awaitedSince.IsZero(), b.status.ObservedSpecHash != specHash:
		return false, nil
	case b.status.Ready, slices.Contains([]string{reconciler.ReasonSuspend, reconciler.ReasonCompleted}, b.status.Reason):
		return true, nil
	case b.phase == stalled:
		return false, fmt.Errorf("bottle %s: %s", slug, b.status.Message)
	}
	return false, nil
}

// problemOf returns the first problem of a bottle's manifest.
func (c *Controller) problemOf(slug string) error {
	for _, p := range c.snapshot.Problems {
		if p.Slug == slug {
			return errors.Join(reconciler.ErrInvalid, p)
		}
	}
	return reconciler.ErrInvalid
}

// describeProgress says what Converge waits for.
func (c *Controller) describeProgress(slug string) string {
	switch b := c.bottles[slug]; {
	case c.status.SourceError != "":
		return c.status.SourceError
	case !c.status.Engine.Reachable:
		return c.status.Engine.Error
	case b != nil && b.status.Message != "":
		return b.status.Message
	}
	return "bottle " + slug + " is being reconciled"
}
