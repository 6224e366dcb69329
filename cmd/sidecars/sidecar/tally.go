package sidecar

import (
	"sync"
	"time"
)

// tallyInterval is the least time between two log lines about the same thing, whose number is up to an attacker.
const tallyInterval = time.Minute

// tally counts between log lines.
type tally struct {
	mu     sync.Mutex
	n      int
	logged time.Time
}

// add counts one, and returns how many there were since the last line when another is due.
func (t *tally) add() (n int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	now := time.Now()
	if now.Sub(t.logged) < tallyInterval {
		return 0, false
	}
	n, t.n, t.logged = t.n, 0, now
	return n, true
}
