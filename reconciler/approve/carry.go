package approve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	// firstRetry and lastRetry are the pauses after a step of a decision that could not be done, because a disk is full, for example.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// settlePause is the pause before a declaration that is another one than expected is compared with the file again.
	settlePause = 100 * time.Millisecond
	// buildTimeout is the least timeout of a change for which an image is built.
	buildTimeout = 15 * time.Minute
)

var (
	// errVoid marks a decision that does not fit what the file says now.
	errVoid = errors.New("it was changed in the meantime")
	// errUnwritten marks a decision whose change can't be written, so that nothing has changed.
	errUnwritten = errors.New("the change can't be written")
	// errLater marks what is no fault of a decision's, and is tried again.
	errLater = errors.New("not possible yet")
	// errTimeout is why a change is taken back that had its time.
	errTimeout = errors.New("it was not ready in time")
)

// resume takes up the decisions that are on file.
func (d *Desk) resume(ctx context.Context) {
	all, err := d.journal.load()
	if err = errors.Join(err, d.journal.removeStraySecrets()); err != nil {
		d.Log.Error().Err(err).Msg("not every decision that was under way can be taken up")
	}
	d.mu.Lock()
	for _, x := range all {
		p := newProposal(x.Bottle, x.Proposal, time.Now())
		p.expires, p.decision = p.asked.Add(v1alpha1.DefaultExpireAfter), x
		d.proposals[p.ID] = p
		d.underWay = append(d.underWay, x)
		d.Log.Info().Str("bottle", x.Bottle).Str("proposal", p.ID).Str("decision", string(x.Decision.Status)).Str("phase", string(x.Phase)).
			Msg("taking up a decision that was under way")
	}
	d.mu.Unlock()
	d.dispatch(ctx)
	d.onChange()
}

// dispatch gives a worker to each decision that need not wait for an earlier one. Those about one bottle or one file are carried out one
// after the other: each was made for what the one before leaves.
func (d *Desk) dispatch(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, x := range d.underWay {
		if x.started || ctx.Err() != nil || x.changes() && slices.ContainsFunc(d.underWay[:i], x.follows) {
			continue
		}
		x.started, x.reject = true, make(chan rejection)
		d.workers.Go(func() { d.carryOut(ctx, x) })
	}
}

// changes reports whether a decision concerns more than the agent's answer and what others merge.
func (x *decision) changes() bool { return x.SpecHash != "" && x.Phase != phaseMerge }

// follows reports whether a decision waits for an earlier one.
func (x *decision) follows(earlier *decision) bool {
	return earlier.changes() && (earlier.Bottle == x.Bottle || x.Change != nil && earlier.Change != nil && earlier.Change.File == x.Change.File ||
		x.SecretFile != "" && x.SecretFile == earlier.SecretFile)
}

// carryOut carries a decision out, phase by phase. What fails is tried again: once made, a decision is neither lost nor left half done.
func (d *Desk) carryOut(ctx context.Context, x *decision) {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		done, err := d.advance(ctx, x)
		switch {
		case done:
			d.notify()
			return
		case ctx.Err() != nil:
			return // the next process takes it up
		case err == nil:
			retry = firstRetry / 2
			continue
		}
		d.setMessage(x.Proposal.ID, err.Error()+"; it is tried again")
		d.Log.Error().Str("bottle", x.Bottle).Str("proposal", x.Proposal.ID).Err(err).Msg("a decision can't be carried out yet; it is tried again")
		if d.pause(ctx, x, retry) != nil && ctx.Err() != nil { // another error has gone to who rejects
			return
		}
	}
}

// advance carries out one phase, and puts the next one on file.
func (d *Desk) advance(ctx context.Context, x *decision) (done bool, err error) {
	switch x.Phase {
	case phaseApply:
		return false, d.apply(ctx, x)
	case phaseMerge:
		return false, d.merge(ctx, x)
	case phaseTakeBack:
		return false, d.takeBack(ctx, x)
	case phaseVoid:
		err = d.void(x)
	case phaseAnswer:
		err = d.answer(x)
	default:
		err = fmt.Errorf("unknown phase %q", x.Phase)
	}
	return err == nil, err
}

// next puts on file how a decision goes on.
func (d *Desk) next(x *decision, change func(*decision)) error {
	next := *x
	change(&next)
	if err := d.save(&next); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	*x = next
	return nil
}

// save puts a decision on file.
func (d *Desk) save(x *decision) error {
	if err := d.Around(WriteDecision, func() error { return d.journal.save(x) }); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return nil
}

// apply writes the change and waits until the bottle is ready with it.
func (d *Desk) apply(ctx context.Context, x *decision) error {
	timeout := x.timeout(d.Timeout)
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("bottle %s: %w (%s)", x.Bottle, errTimeout, timeout))
	defer cancel()
	d.setMessage(x.Proposal.ID, "waiting for bottle "+x.Bottle+" to be ready with the change")
	for {
		specHash, err := d.write(x)
		if err == nil {
			err = d.bottles.Converge(limited, x.Bottle, specHash)
		}
		switch {
		case err == nil:
			return d.next(x, (*decision).succeed)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLater):
			return err
		case errors.Is(err, errVoid), errors.Is(err, errUnwritten): // nothing has changed, so the agent need not know
			return d.next(x, func(x *decision) { x.Phase, x.Failure = phaseVoid, err.Error() })
		case limited.Err() == nil && (errors.Is(err, ErrSuperseded) || errors.Is(err, edit.ErrChanged)):
			select { // somebody else has changed the file: what does it say now?
			case <-limited.Done():
			case <-time.After(settlePause):
			}
		default:
			return d.next(x, func(x *decision) { x.fail(err) })
		}
	}
}

// succeed has the agent answered that the change is in force.
func (x *decision) succeed() {
	x.Phase, x.Decision.Notes = phaseAnswer, strings.TrimSpace(x.Notes+"\n"+x.Decision.Notes)
}

// fail has the change taken back.
func (x *decision) fail(why error) {
	x.Phase, x.Decision.Status, x.Failure = phaseTakeBack, queue.Failed, why.Error()
}

// explainFailure completes a decision that failed. The agent is told no more of the reason than what it caused: paths of the host are not
// its business.
func (x *decision) explainFailure(taken bool) {
	notes := "It was approved, but the bottle did not become ready with it."
	switch {
	case taken:
		notes += " The change was taken back."
	case x.Change != nil || x.SecretFile != "":
		x.Failure += "; the file was changed since, and is left as it is"
	}
	if x.Proposal.Tool == queue.CapabilityBlock {
		notes += " " + shorten(x.Failure)
	}
	x.Decision.Notes = strings.TrimSpace(notes + "\n" + x.Decision.Notes)
}

// write makes sure that the files have the change, and returns the digest of the declaration that is to be waited for. A change that was
// written and that somebody has undone since is not written again. The secret comes first: no route is declared without it.
func (d *Desk) write(x *decision) (specHash string, err error) {
	if err := d.writeSecret(x); err != nil {
		return "", err
	}
	if x.Change == nil {
		return x.SpecHash, d.written(x)
	}
	now, err := d.read(x.Change.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: %w: it is gone", x.Change.File, errVoid)
	case err != nil:
		return "", err
	case bytes.Equal(now, x.Change.After):
	case !bytes.Equal(now, x.Change.Before), x.Written:
		return d.contained(x, now)
	default:
		if err := d.replace(x.Change.File, x.Change.Before, x.Change.After); err != nil {
			return "", d.explainWrite(x, err)
		}
	}
	return x.SpecHash, d.written(x)
}

// written puts on file that the files have the change.
func (d *Desk) written(x *decision) error {
	if x.Written || x.Change == nil && x.SecretFile == "" {
		return nil
	}
	return d.next(x, func(x *decision) { x.Written = true })
}

// explainWrite marks the error of a change that was not written.
func (d *Desk) explainWrite(x *decision, err error) error {
	now, readErr := d.read(x.Change.File)
	if readErr == nil && bytes.Equal(now, x.Change.Before) && !errors.Is(err, edit.ErrChanged) {
		return fmt.Errorf("%w: %w", errUnwritten, err)
	}
	return err
}

// contained returns the digest of what the file declares now, if that is what was decided. Else the decision is void.
func (d *Desk) contained(x *decision, now []byte) (specHash string, err error) {
	void := fmt.Errorf("%s: %w", x.Change.File, errVoid)
	if x.Proposal.Tool == queue.CapabilityBlock {
		return "", void // a Dockerfile is approved as a whole
	}
	current, err := d.declared(x.Bottle, x.Change.File, now)
	if err != nil {
		return "", fmt.Errorf("%w: %w", void, err)
	}
	approved, err := d.declared(x.Bottle, x.Change.File, x.Change.After)
	if err != nil {
		return "", fmt.Errorf("%w: %w", void, err)
	}
	if current.specHash == x.SpecHash || x.Decision.Status == queue.Approved && includes(x.Proposal, current.bottle, approved.bottle) {
		return current.specHash, nil
	}
	return "", void
}

// takeBack undoes the change, if the files still are as they were written, and waits until the bottle is as it was.
func (d *Desk) takeBack(ctx context.Context, x *decision) error {
	taken, specHash, err := d.restore(x)
	if err != nil {
		return fmt.Errorf("take back the change: %w", err)
	}
	if taken {
		limited, cancel := context.WithTimeout(ctx, d.Timeout)
		defer cancel()
		if err := d.bottles.Converge(limited, x.Bottle, specHash); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.Log.Warn().Str("bottle", x.Bottle).Str("proposal", x.Proposal.ID).Err(err).Msg("the change is taken back, and the bottle is not ready without it either")
		}
	}
	return d.next(x, func(x *decision) {
		x.explainFailure(taken)
		x.Phase = phaseAnswer
	})
}

// restore writes what the files had, and returns the digest of the declaration that is in force then. taken is false where somebody has
// changed the manifest since, or, of a decision that only gave a secret, that secret.
func (d *Desk) restore(x *decision) (taken bool, specHash string, err error) {
	if x.Change != nil {
		if taken, err = d.restoreFile(x.Change); err != nil {
			return false, "", err
		}
	}
	restored, err := d.restoreSecret(x)
	if x.Change == nil {
		return restored, x.SpecHash, err
	}
	return taken, x.Change.SpecHash, err
}

// restoreFile writes the former content, unless somebody has changed the file since.
func (d *Desk) restoreFile(c *change) (taken bool, err error) {
	now, err := d.read(c.File)
	var foreign *safepath.Error
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &foreign): // it is gone, or an agent can write there, so that nothing of it counts
		return false, nil
	case err != nil:
		return false, err
	case bytes.Equal(now, c.Before):
		return true, nil
	case !bytes.Equal(now, c.After):
		return false, nil
	}
	return true, d.replace(c.File, c.After, c.Before)
}

// replace replaces the content of a file.
func (d *Desk) replace(file string, before, after []byte) error {
	agents, err := d.agents()
	if err != nil {
		return err
	}
	return d.Around(WriteManifest, func() error { return d.Manifests.Write(file, before, after, agents) })
}

// setMessage publishes what is being waited for.
func (d *Desk) setMessage(id, message string) {
	d.mu.Lock()
	p := d.proposals[id]
	changed := p != nil && p.message != message
	if changed {
		p.message = message
	}
	d.mu.Unlock()
	if changed {
		d.onChange()
	}
}

// forget ends a decision that is carried out or void.
func (d *Desk) forget(x *decision, then func(p *proposal)) {
	d.mu.Lock()
	d.underWay = slices.DeleteFunc(d.underWay, func(other *decision) bool { return other == x })
	if p := d.proposals[x.Proposal.ID]; p != nil {
		then(p)
	}
	d.mu.Unlock()
	d.onChange()
	d.notify()
}

// remember makes a proposal one of the last answered ones. d.mu is held.
func (d *Desk) remember(p *proposal) {
	r := d.describe(p)
	r.State = reconciler.ProposalAnswered
	r.Message = p.decision.Failure
	delete(d.proposals, p.ID)
	if d.answered = append(d.answered, r); len(d.answered) > maxAnswered {
		d.answered = slices.Clone(d.answered[1:])
	}
}

// includes reports whether a bottle has what the approval of a proposal comes to, as approved has it.
func includes(p queue.Proposal, now, approved v1alpha1.Bottle) bool {
	switch p.Tool {
	case queue.PipelockBlock:
		h, err := parseHost(p.Payload)
		end, _ := h.allowedUntil(approved)
		return err == nil && h.isAllowed(now, end)
	case queue.CredProxyBlock, queue.SecretRequest:
		return reflect.DeepEqual(now.Spec.CredProxy, approved.Spec.CredProxy)
	}
	return false
}
