package screen

import (
	"context"
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// bottle is the view of one bottle, in tabs.
type bottle struct {
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	tab    tab
	pages  [tabs]window
	beside bool // logs are side by side where there is room

	description *Description
	problem     error // of the description
	traffic     reconciler.BottleTraffic
	reading     bool
	again       bool // something has changed since the reading began

	events []reconciler.Event
	logs   []service.LogLine
	logged bool // the logs are followed: from the first look at them on
}

type tab int

const (
	overviewTab tab = iota
	eventsTab
	logsTab
	trafficTab
	declarationTab
	tabs
)

func (t tab) String() string {
	return [tabs]string{"overview", "events", "logs", "traffic", "declaration"}[t]
}

// described is the message with what is known of a bottle.
type described struct {
	bottle      string
	description Description
	err         error
}

// counts is the message with what was counted of a bottle's traffic.
type counts struct {
	bottle  string
	traffic reconciler.BottleTraffic
}

func (m *Model) openBottle(name string) tea.Cmd {
	ctx, cancel := context.WithCancel(m.ctx)
	m.bottle = &bottle{name: name, ctx: ctx, cancel: cancel, beside: true}
	for _, t := range []tab{eventsTab, logsTab} {
		m.bottle.pages[t].end = true
	}
	return tea.Batch(m.bottle.describe(m), m.followEvents(ctx, name))
}

func (m *Model) closeBottle() {
	m.bottle.cancel()
	m.bottle = nil
}

// describe reads what is not in any stream.
func (b *bottle) describe(m *Model) tea.Cmd {
	if b.reading {
		b.again = true
		return nil
	}
	b.reading, b.again = true, false
	read := func() tea.Msg {
		d, err := m.backend.Describe(b.ctx, b.name)
		return described{b.name, d, err}
	}
	return tea.Batch(read, b.readTraffic(m))
}

func (m *Model) takeDescription(d described) tea.Cmd {
	b := m.bottle
	if b == nil || b.name != d.bottle {
		return nil
	}
	b.reading, b.problem = false, d.err
	if d.err == nil {
		b.description = &d.description
	}
	if b.again {
		return b.describe(m)
	}
	return nil
}

// readTraffic reads what the running controller counts.
func (b *bottle) readTraffic(m *Model) tea.Cmd {
	if m.readOnly() {
		return nil
	}
	return func() tea.Msg {
		t, err := m.backend.HostTraffic(b.ctx, b.name)
		if err != nil {
			return noticeOf(b.ctx, err)
		}
		return counts{b.name, t}
	}
}

// takeTraffic reads the audit log anew where more was denied than before.
func (m *Model) takeTraffic(c counts) tea.Cmd {
	b := m.bottle
	if b == nil || b.name != c.bottle {
		return nil
	}
	before := b.denied()
	b.traffic = c.traffic
	if b.denied() != before && b.description != nil {
		return b.describe(m)
	}
	return nil
}

func (b *bottle) denied() (n uint64) {
	for _, h := range b.traffic.Hosts {
		n += h.Denied
	}
	return n
}

// take takes what has come of the bottle, and reads the rest anew where that may have changed.
func (b *bottle) take(m *Model, u Update) tea.Cmd {
	if u.Bottle == b.name {
		b.events = last(append(b.events, u.Events...), keptEvents)
		b.logs = last(append(b.logs, u.Lines...), keptLines)
	}
	switch {
	case len(u.Events) > 0 && u.Bottle == b.name:
		return b.describe(m)
	case u.Activity != nil && b.tab == trafficTab:
		return b.readTraffic(m)
	}
	return nil
}

// status is the bottle's status; nil when it is gone.
func (b *bottle) status(m *Model) *reconciler.BottleStatus {
	i := slices.IndexFunc(m.snapshot.Status.Bottles, func(s reconciler.BottleStatus) bool { return s.Slug == b.name })
	if i < 0 {
		return nil
	}
	return &m.snapshot.Status.Bottles[i]
}
