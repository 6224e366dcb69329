package approve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/render"
)

const (
	// mergePoll is the pause before a declaration is compared again with what waits to be merged.
	mergePoll = 2 * time.Second
	// proposeAgain is the pause before a branch that is only here is made anew: it goes with the revision that it was made for.
	proposeAgain = time.Minute
)

// Proposer makes changes of manifests that it can't write: as branches, for people to merge.
type Proposer interface {
	// Propose makes a change the commit of a branch, and pushes it where that is configured. It may be repeated. It fails with edit.ErrChanged
	// when the file has another content. What was made before something else failed is returned with the error.
	Propose(ctx context.Context, b Branch) (Proposed, error)
}

// Branch is a change as the one commit of a branch.
type Branch struct {
	Name          string
	File          string
	Before, After []byte
	Message       string
	By            string // who signs it off
	Time          time.Time
}

// Proposed is what became of a branch.
type Proposed struct {
	Where  string // for people
	Patch  string // as git am takes it
	Pushed bool
}

// rejection ends a decision that waits to be merged.
type rejection struct {
	decision reconciler.Decision
	done     chan error // holds one
}

// proposes reports whether the manifests can't be written, and changes are proposed.
func (d *Desk) proposes() bool {
	_, is := d.Manifests.(Proposer)
	return is
}

// merge proposes the change, waits a while for somebody to merge it and, once the manifests declare what was approved, for the bottle to be so.
// There is no timeout: people merge when they like.
func (d *Desk) merge(ctx context.Context, x *decision) error {
	proposer, is := d.Manifests.(Proposer)
	if !is { // the controller was started anew, with directories
		return d.next(x, func(x *decision) { x.Phase, x.Failure = phaseVoid, "the manifests are not merged by people any more" })
	}
	specHash, err := "", d.offerSecret(x)
	if err == nil {
		specHash, err = d.merged(x)
	}
	switch {
	case errors.Is(err, errVoid), errors.Is(err, errUnwritten):
		return d.next(x, func(x *decision) { x.Phase, x.Failure = phaseVoid, err.Error() })
	case err != nil:
		return err
	case specHash != "":
		return d.convergeMerged(ctx, x, specHash)
	case !x.Pushed && !time.Now().Before(x.proposeNext):
		if err := d.offer(ctx, proposer, x); err != nil || x.Phase != phaseMerge {
			return err
		}
	}
	d.setMessage(x.Proposal.ID, x.Proposed)
	return d.pause(ctx, x, mergePoll)
}

// pause waits. Meanwhile a decision that waits to be merged, also in vain, can be rejected.
func (d *Desk) pause(ctx context.Context, x *decision, long time.Duration) error {
	reject := x.reject
	if x.Phase != phaseMerge {
		reject = nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-reject:
		err := d.next(x, func(x *decision) { x.Phase, x.Decision = phaseAnswer, r.decision })
		r.done <- err
		return err
	case <-time.After(long):
		return nil
	}
}

// offerSecret writes the secret of a route that waits to be merged: it has to be there then.
func (d *Desk) offerSecret(x *decision) error {
	if x.SecretFile == "" {
		return nil
	}
	if err := d.writeSecret(x); err != nil {
		return err
	}
	return d.written(x)
}

// offer makes the branch. A branch that was pushed is left alone from then on.
func (d *Desk) offer(ctx context.Context, proposer Proposer, x *decision) error {
	made, err := proposer.Propose(ctx, Branch{
		Name: branchOf(x.Proposal.ID), File: x.Change.File, Before: x.Change.Before, After: x.Change.After, Message: x.commitMessage(),
		By: x.Decision.By, Time: x.Decision.Time,
	})
	if errors.Is(err, edit.ErrChanged) { // and it does not declare what was approved
		return d.next(x, func(x *decision) { x.Phase, x.Failure = phaseVoid, errVoid.Error()+": "+err.Error() })
	}
	if made.Where != "" && made != (Proposed{x.Proposed, x.Patch, x.Pushed}) {
		err = errors.Join(err, d.next(x, func(x *decision) { x.Proposed, x.Patch, x.Pushed = made.Where, made.Patch, made.Pushed }))
	}
	if err == nil {
		x.proposeNext = time.Now().Add(proposeAgain)
	}
	return err
}

// branchOf is the name of a proposal's branch.
func branchOf(id string) string { return "bottled/proposal-" + id }

// merged returns the digest of what is declared, if that has what was approved; "" if it does not.
func (d *Desk) merged(x *decision) (specHash string, err error) {
	decl, ok := d.bottles.Declaration(x.Bottle)
	if !ok {
		return "", nil // it is invalid, or gone: the bottle's status says so
	}
	var has bool
	switch {
	case x.SpecHash == x.Change.SpecHash: // it is about a Dockerfile, or what else the file has
		now, err := d.read(x.Change.File)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		has = bytes.Equal(now, x.Change.After)
	case x.Proposal.Tool == queue.PipelockBlock && x.Decision.Status == queue.Approved:
		h, err := parseHost(x.Proposal.Payload)
		if err != nil {
			return "", err
		}
		end, allowed := h.allowedUntil(x.Declared.After)
		if !allowed {
			return "", fmt.Errorf("%w: the time is over for which it was approved", errVoid)
		}
		has = h.isAllowed(decl.Bottle, end)
	default:
		if has, err = hasChange(x.Declared.Before, x.Declared.After, decl.Bottle); err != nil {
			return "", err
		}
	}
	if !has {
		return "", nil
	}
	return render.SpecHash(decl.Bottle), nil
}

// convergeMerged waits until the bottle is as merged. What is merged is not taken back.
func (d *Desk) convergeMerged(ctx context.Context, x *decision, specHash string) error {
	limited, cancel := context.WithTimeoutCause(ctx, x.timeout(d.Timeout), fmt.Errorf("bottle %s: %w (%s)", x.Bottle, errTimeout, x.timeout(d.Timeout)))
	defer cancel()
	d.setMessage(x.Proposal.ID, "merged; waiting for bottle "+x.Bottle+" to be ready with the change")
	err := d.bottles.Converge(limited, x.Bottle, specHash)
	switch {
	case err == nil:
		return d.next(x, (*decision).succeed)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrSuperseded):
		return nil
	}
	return d.next(x, func(x *decision) {
		x.Phase, x.Decision.Status, x.Failure = phaseAnswer, queue.Failed, err.Error()
		x.Decision.Notes = strings.TrimSpace("It was approved and merged, but the bottle did not become ready with it.\n" + x.Decision.Notes)
	})
}

// rejectMerging rejects what was approved and waits to be merged. It reports whether there is such a decision. A branch that was pushed stays.
func (d *Desk) rejectMerging(ctx context.Context, by, id string, request reconciler.DecisionRequest) (found bool, err error) {
	d.mu.Lock()
	p := d.proposals[id]
	var reject chan rejection
	if p != nil && p.decision != nil && p.decision.Phase == phaseMerge {
		reject = p.decision.reject
	}
	d.mu.Unlock()
	if reject == nil || request.Approve {
		return false, nil
	}
	if err := checkRequest(p, request); err != nil {
		return true, err
	}
	r := rejection{reconciler.Decision{Status: queue.Rejected, By: by, Time: d.now(), Notes: request.Notes}, make(chan error, 1)}
	select {
	case reject <- r:
		return true, <-r.done
	case <-ctx.Done():
		return true, refuse("proposal %s is being pushed, or is merged already: look again", id)
	}
}

// commitMessage describes a decision for those who merge it. It has no words of the agent's: forges act on what is in a message, and would close
// issues, call people, or skip the checks.
func (x *decision) commitMessage() string {
	summary := Summarize(x.Proposal)
	text := strings.ToUpper(summary[:1]) + summary[1:] + " (bottle " + x.Bottle + ")\n\n"
	if !x.Own {
		text += "The agent asks for it: bottled proposals show " + x.Proposal.ID + "\n\n"
	}
	return text + "Bottled-Proposal: " + x.Proposal.ID + "\n"
}

// timeout is how long the bottle may take to become ready with the change.
func (x *decision) timeout(usual time.Duration) time.Duration {
	if x.Proposal.Tool == queue.CapabilityBlock {
		return max(usual, buildTimeout)
	}
	return usual
}
