package service

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/store"
)

// trafficInterval is how often followed audit logs are looked at.
const trafficInterval = 250 * time.Millisecond

// TrafficOptions select records of audit logs.
type TrafficOptions struct {
	Bottles []string // all without any
	Denied  bool     // only what the bottles refused, and gaps
	Since   time.Time
	Follow  bool
}

// Traffic calls show with what bottles' sidecars allowed and refused, and with what is missing about it, in the order of time. It needs
// no engine and no controller. It ends without an error when ctx ends while it follows.
func (s *Service) Traffic(ctx context.Context, o TrafficOptions, show func(audit.Record) error) (err error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return err
	}
	t := &trafficReader{TrafficOptions: o, dir: settings.AuditDir(), logs: map[string]*auditHead{}, begun: map[begunKey]audit.Record{}, show: show}
	defer func() { err = errors.Join(err, t.close(s)) }()
	for {
		if err := t.open(); err != nil {
			return err
		}
		if err := t.merge(); err != nil {
			return err
		}
		if !o.Follow {
			return errors.Join(t.missing(settings), t.showBegun())
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		case <-time.After(trafficInterval):
		}
	}
}

// trafficReader merges audit logs.
type trafficReader struct {
	TrafficOptions
	dir   string
	logs  map[string]*auditHead // by bottle
	begun map[begunKey]audit.Record
	order []begunKey
	show  func(audit.Record) error
}

// begunKey is a request whose end is on another line.
type begunKey struct {
	container string
	run, id   audit.Text
}

// auditHead is an audit log and its next record; nil when there is none so far.
type auditHead struct {
	*audit.Reader
	next *audit.Record
}

// open opens the logs that are not open yet.
func (t *trafficReader) open() error {
	bottles := t.Bottles
	if len(bottles) == 0 {
		var err error
		if bottles, err = audit.Bottles(t.dir); err != nil {
			return err
		}
	}
	for _, bottle := range bottles {
		if t.logs[bottle] != nil {
			continue
		}
		r, err := audit.OpenReader(t.dir, bottle)
		if err != nil {
			return err
		}
		t.logs[bottle] = &auditHead{Reader: r}
	}
	return nil
}

// missing is an error for each bottle that was named and never existed here.
func (t *trafficReader) missing(settings state.Settings) error {
	var failed []error
	for _, bottle := range t.Bottles {
		if t.logs[bottle].Exists() {
			continue
		}
		if _, recorded, err := store.ReadRecord(settings, bottle); err != nil || !recorded {
			failed = append(failed, cmp.Or(err, notRecorded(settings, bottle)))
		}
	}
	return errors.Join(failed...)
}

// merge shows all that is in the logs so far.
func (t *trafficReader) merge() error {
	for {
		var first *auditHead
		for _, log := range t.logs {
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
		if err := t.take(r); err != nil {
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

// take shows a record, if it is selected. A request's beginning waits for its end.
func (t *trafficReader) take(r audit.Record) error {
	switch r.Kind {
	case audit.KindEgress, audit.KindRequest, audit.KindGap:
	default:
		return nil
	}
	if r.At().Before(t.Since) || t.Denied && r.Kind != audit.KindGap && !report.Denied(r) {
		return nil
	}
	if r.Kind != audit.KindRequest || r.Statement == nil {
		return t.show(r)
	}
	key := begunKey{r.Container, r.Run, r.ID}
	switch r.Phase {
	case "begin":
		if !t.Follow { // or whatever is begun would be kept for ever
			t.begun[key] = r
			t.order = append(t.order, key)
		}
		return nil
	case "end":
		delete(t.begun, key)
	}
	return t.show(r)
}

// showBegun shows the requests whose end is not on record: they are under way, or cred-proxy was killed.
func (t *trafficReader) showBegun() error {
	for _, key := range t.order {
		if r, open := t.begun[key]; open {
			delete(t.begun, key)
			if err := t.show(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// close closes the logs, and warns of lines that are no records.
func (t *trafficReader) close(s *Service) error {
	var failed []error
	for bottle, log := range t.logs {
		if n := log.Unreadable(); n > 0 {
			s.Log.Warn().Str("bottle", bottle).Uint64("lines", n).Msg("lines of the audit log are no records, and were passed over")
		}
		failed = append(failed, log.Close())
	}
	return errors.Join(failed...)
}
