package approve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/queue"
)

// answer records a decision in the audit log and then answers the agent.
func (d *Desk) answer(x *decision) error {
	made := x.Decision
	if made.Status == queue.Rejected { // after it was approved, before anybody has merged it
		if _, err := d.restoreSecret(x); err != nil {
			return fmt.Errorf("take back the secret: %w", err)
		}
	}
	if err := d.record(x, string(made.Status)); err != nil {
		return err
	}
	if made.Status == queue.Failed {
		if err := d.ungrant(x); err != nil {
			return err
		}
	}
	if err := d.keepPrevious(x); err != nil {
		return err
	}
	if err := d.reply(x); err != nil {
		return err
	}
	if err := d.end(x); err != nil {
		return err
	}
	d.decisions.WithLabelValues(string(x.Proposal.Tool), string(made.Status)).Inc()
	e := reconciler.Event{
		Bottle: x.Bottle, Reason: reconciler.EventProposalAnswered, Message: fmt.Sprintf("%s: %s is %s, by %s", x.Proposal.ID, Summarize(x.Proposal), made.Status, made.By),
	}
	line := d.Log.Info()
	if made.Status == queue.Failed {
		e.Type, e.Reason, e.Message = reconciler.EventWarning, reconciler.EventProposalFailed, e.Message+": "+x.Failure
		line = d.Log.Warn().Str("reason", x.Failure)
	}
	line.Str("bottle", x.Bottle).Str("proposal", x.Proposal.ID).Str("tool", string(x.Proposal.Tool)).Str("status", string(made.Status)).
		Str("by", made.By).Msg("a proposal is answered")
	d.bottles.Record(e)
	d.forget(x, d.remember)
	return nil
}

// end forgets a decision that is carried out or void, its secret first.
func (d *Desk) end(x *decision) error {
	if err := d.removeSecret(x); err != nil {
		return err
	}
	return d.Around(RemoveJournal, func() error { return d.journal.remove(x.Proposal.ID) })
}

// reply writes the answer into the bottle's queue, if an agent has asked. There may be one already, of a process that was killed right after it or from inside the
// bottle, or nobody who waits for one; and something in the bottle may have made the proposal unreadable. None of that keeps a decision
// from being carried out.
func (d *Desk) reply(x *decision) (err error) {
	if x.Own {
		return nil
	}
	q, err := queue.Open(d.Settings.QueueDir(x.Bottle))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	return d.Around(WriteAnswer, func() error {
		err := q.Answer(x.Proposal.ID, queue.Answer{Status: x.Decision.Status, Notes: x.Decision.Notes, By: x.Decision.By})
		if err == nil || isOfHost(err) {
			return err
		}
		d.Log.Warn().Str("bottle", x.Bottle).Str("proposal", x.Proposal.ID).Err(err).Msg("the agent does not get the answer")
		return nil
	})
}

// isOfHost reports whether this host is the cause of an error, so that it may pass.
func isOfHost(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE,
	}, func(cause error) bool { return errors.Is(err, cause) })
}

// void records that a decision was not carried out. A proposal of an agent waits for another one.
func (d *Desk) void(x *decision) error {
	if _, err := d.restoreSecret(x); err != nil {
		return fmt.Errorf("take back the secret: %w", err)
	}
	if err := d.record(x, queue.ActionVoid); err != nil {
		return err
	}
	if err := d.ungrant(x); err != nil {
		return err
	}
	if err := d.end(x); err != nil {
		return err
	}
	message := fmt.Sprintf("the decision of %s was not carried out: %s", x.Decision.By, x.Failure)
	d.Log.Warn().Str("bottle", x.Bottle).Str("proposal", x.Proposal.ID).Str("reason", x.Failure).Msg("a decision was not carried out")
	d.bottles.Record(reconciler.Event{
		Bottle: x.Bottle, Type: reconciler.EventWarning, Reason: reconciler.EventProposalVoid, Message: x.Proposal.ID + ": " + message,
	})
	d.forget(x, func(p *proposal) {
		if x.Own {
			x.Decision.Status = queue.Failed
			d.remember(p)
			return
		}
		p.decision, p.message, p.unruled = nil, message, true
	})
	return nil
}

// record appends a decision to the audit log, once, also if the process that did so was killed right after it, or
// was told that it failed.
func (d *Desk) record(x *decision, action string) (err error) {
	if x.recorded {
		return nil
	}
	r := queue.NewRecord(x.Bottle, x.Proposal, x.Decision.By, x.Decision.Time)
	r.Action, r.Diff, r.Notes = action, x.Diff, x.Decision.Notes
	if c := x.Change; c != nil {
		r.File, r.Before, r.After = c.File, contentHash(c.Before), contentHash(c.After)
	}
	if x.maybeRecorded {
		if x.recorded, err = audit.Contains(d.Settings.AuditDir(), x.Bottle, r.Is); x.recorded || err != nil {
			return err
		}
	}
	err = d.Around(WriteAudit, func() error { return d.log(x.Bottle, r) })
	x.recorded, x.maybeRecorded = err == nil, true
	return err
}

func contentHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// log appends a record to a bottle's audit log.
func (d *Desk) log(bottle string, r queue.Record) (err error) {
	log, err := audit.Open(d.Settings.AuditDir(), bottle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return log.Append(r)
}
