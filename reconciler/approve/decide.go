package approve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
	"github.com/bot-bottle/bottled/state/queue"
)

// Who decides when it is not a person.
const (
	byRule  = "rule"    // of spec.approvals.auto, or the policy's
	byClock = "bottled" // nobody has decided in time
)

// maxBy limits the name of who decides, in bytes.
const maxBy = 256

// Decide accepts a decision of somebody about a proposal. When it returns nil the decision is on file and will be carried out; the proposal's
// state and message say how far that is. A decision that can't be made is an ErrDecision.
func (d *Desk) Decide(ctx context.Context, by, id string, request reconciler.DecisionRequest) error {
	by, err := nameOf(by)
	if err != nil {
		return err
	}
	if merging, err := d.rejectMerging(ctx, by, id, request); merging {
		return err
	}
	p, err := d.find(id)
	if err != nil {
		return err
	}
	if err := checkRequest(p, request); err != nil {
		return err
	}
	return d.decide(p, by, request)
}

// nameOf returns the name of who decides.
func nameOf(by string) (string, error) {
	by = printable.Line(strings.TrimSpace(by))
	if by == "" || len(by) > maxBy {
		return "", errors.New("nobody is named who decides")
	}
	return by, nil
}

// checkRequest validates a request by itself.
func checkRequest(p *proposal, r reconciler.DecisionRequest) error {
	limits := r.Approve && p.Tool == queue.PipelockBlock
	switch {
	case len(r.Notes) > queue.MaxNotes/2:
		return refuse("the notes have %d bytes; at most %d are allowed", len(r.Notes), queue.MaxNotes/2)
	case printable.Check(r.Notes) != nil:
		return refuse("the notes: %w", printable.Check(r.Notes))
	case !r.Approve && (r.Edited != nil || r.For != 0 || r.Secret != "" || r.AllowNewUpstream):
		return refuse("a rejection has notes, and nothing else")
	case r.For != 0 && (!limits || r.Edited != nil):
		return refuse("only an approved host can be limited in time, and not with an edited manifest, which says it itself")
	case r.For < 0 || r.For > 0 && r.For < time.Minute:
		return refuse("%s is too short; allow a host for at least a minute", r.For)
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", reconciler.ErrDecision, fmt.Errorf(format, args...))
}

// decide makes a decision, unless another one was made first.
func (d *Desk) decide(p *proposal, by string, request reconciler.DecisionRequest) error {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if _, err := d.find(p.ID); err != nil {
		return err
	}
	x := &decision{
		Bottle: p.bottle, Proposal: p.Proposal, Phase: phaseAnswer,
		Decision: reconciler.Decision{Status: queue.Rejected, By: by, Time: d.now(), Notes: request.Notes},
	}
	var err error
	if request.Approve {
		err = d.approve(x, request)
	}
	if err == nil {
		err = d.accept(p, x)
	}
	if err != nil { // nothing of it is left
		return errors.Join(err, d.removeSecret(x))
	}
	return nil
}

// accept puts a decision on file and has it carried out.
func (d *Desk) accept(p *proposal, x *decision) error {
	if err := d.save(x); err != nil {
		return err
	}
	d.mu.Lock()
	p.decision, p.message = x, ""
	d.proposals[p.ID] = p // it may have gone from the queue in the meantime
	d.underWay = append(d.underWay, x)
	d.mu.Unlock()
	made := x.Decision
	d.Log.Info().Str("bottle", x.Bottle).Str("proposal", p.ID).Str("tool", string(p.Tool)).Str("decision", string(made.Status)).Str("by", made.By).
		Msg("a proposal is decided")
	d.bottles.Record(reconciler.Event{
		Bottle: x.Bottle, Reason: reconciler.EventProposalDecided, Message: fmt.Sprintf("%s: %s is %s by %s", p.ID, p.summary, made.Status, made.By),
	})
	d.onChange()
	d.notify()
	return nil
}

// approve completes a decision with what it changes.
func (d *Desk) approve(x *decision, request reconciler.DecisionRequest) error {
	shown, err := d.propose(x.Proposal, x.Bottle, time.Time{}, nil)
	if err != nil {
		return refuse("%w", err)
	}
	if request.Digest != "" && request.Digest != shown.change.digest() {
		return refuse("%s, or what would be changed in it, is another than when it was shown; look at the proposal again", shown.change.File)
	}
	out := shown
	if request.Edited != nil || request.For > 0 {
		var until time.Time
		if request.For > 0 {
			until = x.Decision.Time.Add(request.For).UTC().Truncate(time.Second)
		}
		if out, err = d.propose(x.Proposal, x.Bottle, until, request.Edited); err != nil {
			return refuse("%w", err)
		}
	}
	switch {
	case out.blocked != nil:
		return refuse("%w", out.blocked)
	case len(out.dangers) > 0 && !request.AllowNewUpstream:
		return refuse("%s; allow the new upstream explicitly, if that is meant", strings.Join(out.dangers, "; "))
	}
	x.Decision.Status, x.Phase, x.SpecHash = queue.Approved, phaseApply, out.after.specHash
	if request.Edited != nil && *request.Edited != string(shown.change.After) {
		x.Decision.Status = queue.Modified
	}
	x.Notes = out.notes
	if out.changes() {
		x.Change, x.Diff = &out.change, out.change.diff()
		if d.proposes() {
			x.Phase, x.Declared = phaseMerge, &changedBottle{out.before.bottle, out.after.bottle}
		}
	}
	return d.giveSecret(x, out, request)
}

// now returns the time of a decision, later than that of every other one: they are taken up in this order.
func (d *Desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now().UTC()
	if !now.After(d.lastDecision) {
		now = d.lastDecision.Add(1)
	}
	d.lastDecision = now
	return now
}
