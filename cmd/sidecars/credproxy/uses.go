package credproxy

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
)

// Bounds of the audit lines in one window (sidecar.Window), for the same reason as there: no agent may make the engine drop
// earlier lines.
const (
	// routeRequests is how many requests of one route, and allRequests how many in all, have lines of their own. Refused ones
	// are apart from the others.
	routeRequests = 50
	allRequests   = 100
	// firstReserve is how many requests the first line announces of those that have no lines of their own. Each further one in
	// the window announces twice as many as the one before.
	firstReserve = 64
)

// usesKey tells apart what is counted apart.
type usesKey struct {
	route   string // "" for none
	refused bool
}

// uses are the requests of a route that have no audit lines of their own. That a request leaves no trace must not be, so a line
// that announces at most so many is written before the first of them is made, and how many they were is written at the end
// of the window. When the process is killed before, the announcement is what stays.
type uses struct {
	lines    int // requests of this window with lines of their own
	reserved int // requests that the last announcement has left
	step     int // of the last announcement
	reserve  *auditBatch

	begun, ended, failed, rejected uint64
	sent, received                 int64 // bytes of bodies
	since                          time.Time
}

// use accounts for a request that begins: by a line of its own (true), or in an announcement, which is written then.
func (a *auditLog) use(key usesKey) (line bool, err error) {
	a.mu.Lock()
	u := a.usesOf(key)
	if u.lines < routeRequests && a.own[key.refused] < allRequests {
		u.lines++
		a.own[key.refused]++
		a.mu.Unlock()
		return true, nil
	}
	if u.reserved == 0 {
		u.step = max(2*u.step, firstReserve)
		u.reserved = u.step
		u.reserve = a.add(a.format("reserve", key, "many requests begin", func(e *zerolog.Event) { e.Int("at_most", u.step) }))
	}
	if u.begun == 0 {
		u.since = time.Now()
	}
	u.reserved--
	u.begun++
	reserve := u.reserve
	a.mu.Unlock()
	if err := a.await(reserve); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		u.begun--
		if u.reserve == reserve {
			u.reserved = 0
		}
		return false, err
	}
	return false, nil
}

// result is how a request ended.
type result struct {
	failed         bool // with status 400 or more, or cut short
	rejected       bool // for its credential
	sent, received int64
}

// used accounts for the end of a request that has no lines of its own.
func (a *auditLog) used(key usesKey, r result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.usesOf(key)
	u.ended++
	if r.failed {
		u.failed++
	}
	if r.rejected {
		u.rejected++
	}
	u.sent += r.sent
	u.received += r.received
}

// usesOf begins a window when there is none.
func (a *auditLog) usesOf(key usesKey) *uses {
	if !a.counting {
		a.counting = true
		a.window.Reset(sidecar.Window)
	}
	if a.uses[key] == nil {
		a.uses[key] = &uses{}
	}
	return a.uses[key]
}

// count ends the window: it writes how many requests there were.
func (a *auditLog) count() {
	a.mu.Lock()
	a.window.Stop()
	for key, u := range a.uses {
		if u.begun+u.ended == 0 {
			continue
		}
		a.add(a.format("count", key, "requests, counted", func(e *zerolog.Event) {
			e.Uint64("count", u.begun).Uint64("ended", u.ended).Uint64("failed", u.failed).Uint64("rejected", u.rejected).
				Int64("bytes", u.received).Int64("request_bytes", u.sent)
			if u.begun > 0 {
				e.Time("since", u.since)
			}
		}))
	}
	clear(a.uses)
	clear(a.own)
	a.counting = false
	batch := a.batch
	batch.ends = true
	a.mu.Unlock()
	a.finish(batch)
}

// format makes a line about many requests.
func (a *auditLog) format(phase string, key usesKey, message string, more func(*zerolog.Event)) []byte {
	line := newAuditLine(a.log)
	event := line.Info().Str("event", "request").Str("phase", phase)
	if key.route != "" {
		event.Str("route", key.route)
	}
	if key.refused {
		event.Bool("refused", true)
	}
	more(event)
	event.Msg(message)
	return line.text
}
