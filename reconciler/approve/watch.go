package approve

import (
	"context"
	"time"
)

// Watcher reports which queues may have changed.
type Watcher interface {
	// Changes receives the name of a bottle whose queue may have changed, or "" for any of them.
	Changes() <-chan string
	Close() error
}

const (
	slowRescan = 10 * time.Second // with a watcher, which may miss changes
	fastRescan = time.Second      // without one
	// scanPause is the least time between two listings of one queue, and scanShare how much longer than the last one took it is: whoever
	// floods a queue does not keep the desk from the others.
	scanPause = 50 * time.Millisecond
	scanShare = 10
)

// Run looks after the proposals until ctx ends. Then it finishes the steps under way and returns; decisions that are not carried out yet are
// on file.
func (d *Desk) Run(ctx context.Context) {
	changes, stop := d.watch()
	defer stop()
	d.resume(ctx)
	scans := map[string]*scanTime{}
	rescan, due := time.NewTimer(0), time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			d.workers.Wait()
			return
		case <-rescan.C:
			d.scanAll()
			rescan.Reset(d.rescanInterval(changes))
		case bottle := <-changes:
			if bottle == "" {
				rescan.Reset(scanPause)
				continue
			}
			if scans[bottle] == nil {
				scans[bottle] = &scanTime{}
			}
			scans[bottle].due = true
		case <-d.wake:
		case <-due.C:
		}
		d.scanDue(scans)
		d.decideDue()
		d.dispatch(ctx)
		due.Reset(d.nextDue(scans))
	}
}

// scanTime is when a queue may be listed.
type scanTime struct {
	due bool
	at  time.Time
}

// scanDue lists the queues that have changed and whose pause is over.
func (d *Desk) scanDue(scans map[string]*scanTime) {
	for bottle, s := range scans {
		began := time.Now()
		switch {
		case s.due && !s.at.After(began):
			d.scan(bottle)
			took := time.Since(began)
			s.due, s.at = false, time.Now().Add(max(scanPause, scanShare*took))
		case !s.due && s.at.Before(began):
			delete(scans, bottle)
		}
	}
}

// nextDue returns the time until a queue may be listed or a proposal expires.
func (d *Desk) nextDue(scans map[string]*scanTime) time.Duration {
	next := time.Now().Add(slowRescan)
	for _, s := range scans {
		if s.due && s.at.Before(next) {
			next = s.at
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.proposals {
		if at := p.due(); p.decision == nil && at.Before(next) {
			next = at
		}
	}
	return max(time.Until(next), time.Millisecond)
}

// watch begins to watch the queues, if that is possible.
func (d *Desk) watch() (changes <-chan string, stop func()) {
	if d.Watch == nil {
		return nil, func() {}
	}
	watcher, err := d.Watch()
	if err != nil {
		d.Log.Warn().Err(err).Msg("the proposals' queues can't be watched; they are listed every second")
		return nil, func() {}
	}
	return watcher.Changes(), func() {
		if err := watcher.Close(); err != nil {
			d.Log.Warn().Err(err).Msg("can't end the watch of the proposals' queues")
		}
	}
}

func (d *Desk) rescanInterval(changes <-chan string) time.Duration {
	if changes == nil {
		return fastRescan
	}
	return slowRescan
}
