package service

import (
	"context"
	"errors"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/state/audit"
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
	t := &trafficReader{TrafficOptions: o, begun: map[begunKey]audit.Record{}, show: show}
	logs := newAuditLogs(settings, o.Bottles)
	defer func() { err = errors.Join(err, logs.close(s)) }()
	for {
		if err := logs.merge(func(r audit.Record, _ []byte) error { return t.take(r) }); err != nil {
			return err
		}
		if !o.Follow {
			return errors.Join(logs.missing(), t.showBegun())
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		case <-time.After(trafficInterval):
		}
	}
}

// trafficReader selects records of audit logs.
type trafficReader struct {
	TrafficOptions
	begun map[begunKey]audit.Record
	order []begunKey
	show  func(audit.Record) error
}

// begunKey is a request whose end is on another line.
type begunKey struct {
	container string
	run, id   audit.Text
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
