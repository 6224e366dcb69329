package screen

import (
	"context"
	"slices"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// redrawInterval is the least time between two redraws that nobody has pressed a key for.
const redrawInterval = 100 * time.Millisecond

// How much of what an agent can cause as often as it likes is kept of one bottle.
const (
	keptEvents = 500
	keptLines  = 2000
)

// Update is what has come since the last redraw: of what changes, the newest; of what happens, all that is kept. Events and lines are of
// the one bottle that is shown.
type Update struct {
	Status    *reconciler.Status
	Proposals *service.Proposals
	Activity  *reconciler.Activity
	Events    []reconciler.Event
	Lines     []service.LogLine
	Bottle    string // of the events and lines
	// Stale is why what is shown is not up to date; "" where it is, or nothing is known about that.
	Stale string
	// Trouble is why there are no events, lines or activity; "" where nothing is known about that.
	Trouble string
}

// updates collects what streams deliver, so that a thousand changes make one redraw.
type updates struct {
	mu   sync.Mutex
	next Update
	wake chan struct{}
	last time.Time // of the last redraw
}

func newUpdates() *updates { return &updates{wake: make(chan struct{}, 1)} }

// add changes the next update.
func (u *updates) add(change func(*Update)) {
	u.mu.Lock()
	change(&u.next)
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// await returns the next update, as soon as there is one and the last one is long enough ago.
func (u *updates) await(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-ctx.Done():
			return nil
		case <-u.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(redrawInterval - time.Since(u.last)):
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		got := u.next
		u.next, u.last = Update{}, time.Now()
		return got
	}
}

// addOf is add for what is of one bottle, until ctx ends with the view of it. What is of another one, which was left, is dropped.
func (u *updates) addOf(ctx context.Context, bottle string, change func(*Update)) {
	u.add(func(next *Update) {
		if ctx.Err() != nil {
			return
		}
		if next.Bottle != bottle {
			next.Bottle, next.Events, next.Lines = bottle, nil, nil
		}
		change(next)
	})
}

func (u *updates) stale(err error) {
	u.add(func(next *Update) { next.Stale = report.OneLine(err) })
}

func (u *updates) trouble(err error) {
	u.add(func(next *Update) { next.Trouble = report.OneLine(err) })
}

// followAll follows what the first screen shows until ctx ends. Its message is the error that ends the screen: nothing could be read.
func (m *Model) followAll() tea.Cmd {
	status := func() tea.Msg {
		return ended(m.backend.FollowStatus(m.ctx, func(s reconciler.Status) error {
			m.updates.add(func(next *Update) { next.Status, next.Stale = &s, "" })
			return nil
		}, m.updates.stale))
	}
	proposals := func() tea.Msg {
		return ended(m.backend.FollowProposals(m.ctx, func(p service.Proposals) error {
			m.updates.add(func(next *Update) { next.Proposals = &p })
			return nil
		}, m.updates.stale))
	}
	activity := func() tea.Msg {
		return noticeOf(m.ctx, m.backend.FollowActivity(m.ctx, func(a reconciler.Activity) error {
			m.updates.add(func(next *Update) { next.Activity = &a })
			return nil
		}, m.updates.trouble))
	}
	return tea.Batch(status, proposals, activity, m.updates.await(m.ctx))
}

// failed ends the screen.
type failed struct{ err error }

func ended(err error) tea.Msg {
	if err == nil {
		return nil
	}
	return failed{err}
}

// followEvents and followLogs follow one bottle until ctx ends.
func (m *Model) followEvents(ctx context.Context, bottle string) tea.Cmd {
	return func() tea.Msg {
		return noticeOf(ctx, m.backend.FollowEvents(ctx, bottle, func(e reconciler.Event) error {
			m.updates.addOf(ctx, bottle, func(next *Update) { next.Events = last(append(next.Events, e), keptEvents) })
			return nil
		}, m.updates.trouble))
	}
}

func (m *Model) followLogs(ctx context.Context, bottle string) tea.Cmd {
	return func() tea.Msg {
		return noticeOf(ctx, m.backend.FollowLogs(ctx, bottle, func(l service.LogLine) error {
			l.Text = slices.Clone(l.Text)
			m.updates.addOf(ctx, bottle, func(next *Update) { next.Lines = last(append(next.Lines, l), keptLines) })
			return nil
		}, m.updates.trouble))
	}
}

// last are the last n of all.
func last[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }

// notice is a message at the bottom, until the next key.
type notice struct {
	text string
	bad  bool
}

// noticeOf is an error's, unless it is that its view was left.
func noticeOf(ctx context.Context, err error) tea.Msg {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return notice{report.OneLine(err), true}
}
