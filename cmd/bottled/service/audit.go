package service

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/store"
)

// AuditOptions select records of audit logs.
type AuditOptions struct {
	Bottles []string // all without any
	Since   time.Time
	Kinds   []string // all without any
}

// Audit calls show with all records of the audit logs that are selected, in the order of time, and with the line of each. It needs no
// engine and no controller.
func (s *Service) Audit(o AuditOptions, show func(r audit.Record, line []byte) error) (err error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return err
	}
	logs := newAuditLogs(settings, o.Bottles)
	defer func() { err = errors.Join(err, logs.close(s)) }()
	err = logs.merge(func(r audit.Record, line []byte) error {
		if r.At().Before(o.Since) || len(o.Kinds) > 0 && !slices.Contains(o.Kinds, r.Kind) {
			return nil
		}
		return show(r, line)
	})
	return cmp.Or(err, logs.missing())
}

// VerifyOptions say what of the audit logs to verify.
type VerifyOptions struct {
	Bottles  []string // all without any
	Archives []string // files that logs were renamed to
	Since    time.Time
	Key      string // file of the public key; "" for none
}

// VerifyAudit verifies the audit logs.
func (s *Service) VerifyAudit(o VerifyOptions) (audit.Verification, error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return audit.Verification{}, err
	}
	var key ed25519.PublicKey
	if o.Key != "" {
		if key, err = audit.ReadVerifyKey(o.Key); err != nil {
			return audit.Verification{}, exit.Usage(err)
		}
	}
	return audit.Verify(audit.VerifyOptions{Dir: settings.AuditDir(), Bottles: o.Bottles, Archives: o.Archives, Since: o.Since, Key: key})
}

// ArchiveAudit archives the audit logs of bottles, or of all with their log of heads, and calls show with each file that it renamed.
func (s *Service) ArchiveAudit(bottles []string, show func(audit.Archived) error) error {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return err
	}
	dir := settings.AuditDir()
	have, err := audit.Bottles(dir)
	if err != nil {
		return err
	}
	all := len(bottles) == 0
	if all {
		bottles = have
	}
	var failed []error
	archived := 0
	for _, bottle := range bottles {
		if !slices.Contains(have, bottle) {
			failed = append(failed, fmt.Errorf("bottle %s has no audit log in %s", bottle, dir))
			continue
		}
		log, done, err := audit.Archive(dir, bottle, userName())
		if done {
			archived++
			err = errors.Join(err, show(log))
		}
		failed = append(failed, err)
	}
	if all && archived > 0 {
		heads, done, err := audit.ArchiveHeads(dir)
		if done {
			err = errors.Join(err, show(heads))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// signInterval is how often a controller signs a checkpoint of the audit log, if there is something new.
const signInterval = 5 * time.Minute

// signAudit signs checkpoints until ctx ends, and then a last one once everything has been recorded.
func (s *Service) signAudit(ctx context.Context, dir string, key ed25519.PrivateKey) (last func() error) {
	if key == nil {
		return func() error { return nil }
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticks := time.NewTicker(signInterval)
		defer ticks.Stop()
		for {
			if err := audit.Sign(dir, key); err != nil {
				s.Log.Error().Err(err).Msg("can't sign a checkpoint of the audit log, will retry")
			}
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
		}
	}()
	return func() error {
		<-ended
		return audit.Sign(dir, key)
	}
}

// auditLogs merges the audit logs of bottles.
type auditLogs struct {
	settings state.Settings
	bottles  []string              // all without any
	logs     map[string]*auditHead // by bottle
}

// auditHead is an audit log and its next record; nil when there is none so far.
type auditHead struct {
	*audit.Reader
	next *audit.Record
}

func newAuditLogs(settings state.Settings, bottles []string) *auditLogs {
	return &auditLogs{settings: settings, bottles: bottles, logs: map[string]*auditHead{}}
}

// open opens the logs that are not open yet.
func (a *auditLogs) open() error {
	bottles := a.bottles
	if len(bottles) == 0 {
		var err error
		if bottles, err = audit.Bottles(a.settings.AuditDir()); err != nil {
			return err
		}
	}
	for _, bottle := range bottles {
		if a.logs[bottle] != nil {
			continue
		}
		r, err := audit.OpenReader(a.settings.AuditDir(), bottle)
		if err != nil {
			return err
		}
		a.logs[bottle] = &auditHead{Reader: r}
	}
	return nil
}

// missing is an error for each bottle that was named and never existed here.
func (a *auditLogs) missing() error {
	var failed []error
	for _, bottle := range a.bottles {
		if a.logs[bottle].Exists() {
			continue
		}
		if _, recorded, err := store.ReadRecord(a.settings, bottle); err != nil || !recorded {
			failed = append(failed, cmp.Or(err, notRecorded(a.settings, bottle)))
		}
	}
	return errors.Join(failed...)
}

// merge calls take with all that is in the logs and was not taken yet, in the order of time.
func (a *auditLogs) merge(take func(r audit.Record, line []byte) error) error {
	if err := a.open(); err != nil {
		return err
	}
	for {
		var first *auditHead
		for _, log := range a.logs {
			if err := log.advance(); err != nil {
				return err
			}
			if log.next != nil && (first == nil || log.next.At().Before(first.next.At())) {
				first = log
			}
		}
		if first == nil {
			return nil
		}
		r := *first.next
		first.next = nil
		if err := take(r, first.Raw()); err != nil {
			return err
		}
	}
}

// advance reads the next record, unless there is one.
func (h *auditHead) advance() error {
	if h.next != nil {
		return nil
	}
	r, more, err := h.Next()
	if more {
		h.next = &r
	}
	return err
}

// close closes the logs, and warns of lines that are no records.
func (a *auditLogs) close(s *Service) error {
	var failed []error
	for bottle, log := range a.logs {
		if n := log.Unreadable(); n > 0 {
			s.Log.Warn().Str("bottle", bottle).Uint64("lines", n).Msg("lines of the audit log are no records, and were passed over")
		}
		failed = append(failed, log.Close())
	}
	return errors.Join(failed...)
}
