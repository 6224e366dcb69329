package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/state/engine"
)

// listInterval is the least time between two listings of the containers to follow.
const listInterval = 200 * time.Millisecond

// follow shows what the components log from now on, whichever containers they run in, until ctx ends.
func (l *logReader) follow(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	wake := make(chan struct{}, 1)
	list := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	since := time.Now()
	group.Go(func() error { l.watchEvents(ctx, since, list); return nil })
	group.Go(func() error {
		for {
			containers, err := l.containers(ctx)
			if err != nil && ctx.Err() == nil {
				l.warn(err) // watchEvents wakes when the engine is back
			}
			for _, c := range l.unfollowed(containers) {
				group.Go(func() error { return l.followOne(ctx, c, list) })
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(listInterval):
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-wake:
			}
		}
	})
	return group.Wait()
}

// watchEvents calls list when a container of the bottle starts, and when that may have been missed.
func (l *logReader) watchEvents(ctx context.Context, since time.Time, list func()) {
	bottles := l.bottles()
	for ctx.Err() == nil {
		_ = l.engine.Events(ctx, since, func(e engine.Event) { // an engine that is gone is reported by the listing
			if e.Kind == engine.EventStarted && e.Owner == l.settings.Owner && slices.Contains(bottles, e.Slug) {
				list()
			}
		})
		since = time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		list()
	}
}

// unfollowed returns the containers to follow from now on: those that run, or never were followed.
func (l *logReader) unfollowed(containers []engine.Summary) []engine.Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []engine.Summary
	for _, c := range containers {
		_, known := l.last[c.ID]
		if l.following[c.ID] || known && c.State != engine.StateRunning && c.State != engine.StatePaused {
			continue
		}
		if !known {
			l.last[c.ID] = time.Time{} // a new one: all that it logs
		}
		l.following[c.ID] = true
		found = append(found, c)
	}
	return found
}

// followOne follows a container until it ends. It may be started again, or another one in its place.
func (l *logReader) followOne(ctx context.Context, c engine.Summary, list func()) error {
	defer list()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.following, c.ID)
	}()
	l.mu.Lock()
	o := engine.LogOptions{Since: l.last[c.ID], Tail: -1, Follow: true}
	l.mu.Unlock()
	if !o.Since.IsZero() {
		o.Since = o.Since.Add(time.Nanosecond)
	}
	err := l.read(ctx, c, o, func(line engine.LogLine) error {
		l.seen(c, line)
		l.showing.Lock() // several containers are followed at once
		defer l.showing.Unlock()
		return l.show(LogLine{Target: targetOf(c), LogLine: line})
	})
	if errors.Is(err, engine.ErrUnavailable) {
		return nil // the listing reports it, and goes on when the engine is back
	}
	return err
}
