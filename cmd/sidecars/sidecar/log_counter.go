package sidecar

import (
	"sync"
	"time"
)

// logInterval is the minimum interval between log lines about the same event, which an attacker can cause.
const logInterval = time.Minute

// logCounter counts events between two log lines about them.
type logCounter struct {
	mu     sync.Mutex
	n      int
	logged time.Time
}

// add counts an event. If a log line is due, it returns the number of events since the last one.
func (t *logCounter) add() (n int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	now := time.Now()
	if now.Sub(t.logged) < logInterval {
		return 0, false
	}
	n, t.n, t.logged = t.n, 0, now
	return n, true
}
