package audit

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// KindChange is what bottled itself did to a bottle, and what an operator told it to do.
const KindChange = "change"

// Results of a change.
const (
	ChangeDone   = "done"
	ChangeFailed = "failed"
)

// Actions of changes that are no step of a plan, or an operator's order (see reconciler.Order).
const (
	ActionSession    = "session"     // bottled run begins
	ActionSessionEnd = "session end" // and ended
)

// Change is a record of the kind change.
type Change struct {
	Time      time.Time `json:"time"`
	Bottle    string    `json:"bottle"`
	Kind      string    `json:"kind"`
	Action    string    `json:"action"`              // a step's, an order's, or one of the constants
	Component string    `json:"component,omitempty"` // "" for the whole bottle
	Object    string    `json:"object,omitempty"`    // name of the container, network, image or directory
	Cause     string    `json:"cause,omitempty"`
	// Generation and SpecHash are those of the declaration that is carried out; zero without one, as for a removal.
	Generation int64  `json:"generation,omitempty"`
	SpecHash   string `json:"spec_hash,omitempty"`
	Result     string `json:"result,omitempty"` // done or failed; an order has none
	Error      string `json:"error,omitempty"`
	Who        string `json:"who,omitempty"` // the user whose command it was, if known; "" for the controller
}

// Budget of a bottle's changes. The controller's backoff keeps a component that crashes below it; others may remove containers as fast as
// they like.
const (
	changeBurst    = 1000
	changeInterval = 10 * time.Second
	changeError    = 1 << 10 // bytes of an error's text
)

// Changes writes records of changes to the logs of their bottles. It is safe for concurrent use. Its zero value needs a directory.
type Changes struct {
	Dir string // of the audit logs
	Who string // of all changes that don't name anybody

	mu      sync.Mutex
	bottles map[string]*bottleChanges
}

// bottleChanges are the changes of one bottle.
type bottleChanges struct {
	log     *Log // nil between Commit and the next record
	budget  *rate.Limiter
	dropped Gap // what has not been recorded since the last record
}

// Record appends a change to its bottle's log, or counts it in a gap when there are too many. It survives a kill of this process at once,
// and a crash of the host after Commit.
func (c *Changes) Record(change Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UTC()
	b := c.bottle(change.Bottle)
	if !b.budget.Allow() {
		b.drop(now)
		return nil
	}
	if b.log == nil {
		log, err := Open(c.Dir, change.Bottle)
		if err != nil {
			return err
		}
		b.log = log
	}
	if err := b.writeGap(change.Bottle, now); err != nil {
		return err
	}
	change.Time, change.Kind = now, KindChange
	change.Error = string(printableText(change.Error, changeError))
	change.Cause = string(printableText(change.Cause, changeError))
	if change.Who == "" {
		change.Who = c.Who
	}
	return b.log.Write(change)
}

func (c *Changes) bottle(name string) *bottleChanges {
	if c.bottles == nil {
		c.bottles = map[string]*bottleChanges{}
	}
	if c.bottles[name] == nil {
		c.bottles[name] = &bottleChanges{budget: rate.NewLimiter(rate.Every(changeInterval), changeBurst)}
	}
	return c.bottles[name]
}

func (b *bottleChanges) drop(now time.Time) {
	if b.dropped.empty() {
		b.dropped = Gap{From: now, Dropped: map[string]uint64{}}
	}
	b.dropped.To = now
	b.dropped.Dropped[KindChange]++
}

// writeGap writes how many changes have not been recorded.
func (b *bottleChanges) writeGap(bottle string, now time.Time) error {
	if b.dropped.empty() {
		return nil
	}
	gap := b.dropped
	if err := b.log.Write(Record{Time: now, Bottle: bottle, Kind: KindGap, Gap: &gap}); err != nil {
		return err
	}
	b.dropped = Gap{}
	return nil
}

// Commit makes a bottle's changes so far survive a crash of the host, and their removal be found.
func (c *Changes) Commit(bottle string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bottle(bottle)
	if b.log == nil {
		return nil
	}
	err := errors.Join(b.log.Commit(), b.log.Close())
	b.log = nil
	return err
}
