package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// Bounds of the events in memory. An agent can cause any number of events, and choose some of their words.
const (
	maxEvents       = 100  // of one bottle
	maxEventBottles = 1000 // with events; removed ones count
	maxEventMessage = 1024 // bytes
)

// eventLog holds the last events of each bottle, the oldest first, also of removed bottles. Controller.mu guards it.
type eventLog struct {
	lastID   uint64
	byBottle map[string][]reconciler.Event
}

// record adds an event. An event that repeats the bottle's last one is counted there.
func (l *eventLog) record(e reconciler.Event) {
	now := time.Now()
	l.lastID = max(l.lastID+1, uint64(now.UnixMicro()))
	e.ID, e.Time, e.First, e.Count = l.lastID, now, now, 1
	if len(e.Message) > maxEventMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxEventMessage], "") + "…"
	}
	events := l.byBottle[e.Bottle]
	if n := len(events); n > 0 {
		if last := events[n-1]; last.Reason == e.Reason && last.Component == e.Component && last.Message == e.Message {
			e.First, e.Count = last.First, last.Count+1
			events = events[:n-1]
		}
	}
	events = append(events, e)
	if len(events) > maxEvents {
		events = slices.Clone(events[1:])
	}
	l.byBottle[e.Bottle] = events
	if len(l.byBottle) > maxEventBottles {
		l.dropOldestBottle()
	}
}

// dropOldestBottle drops the events of the bottle to which nothing has happened for the longest time.
func (l *eventLog) dropOldestBottle() {
	oldest, lastID := "", l.lastID
	for bottle, events := range l.byBottle {
		if id := events[len(events)-1].ID; id <= lastID {
			oldest, lastID = bottle, id
		}
	}
	delete(l.byBottle, oldest)
}

// Events returns the last events of a bottle, or of all and the controller without a name, by ID; only those with a greater ID than
// after.
func (c *Controller) Events(bottle string, after uint64) []reconciler.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []reconciler.Event{}
	for name, events := range c.events.byBottle {
		if bottle != "" && bottle != name {
			continue
		}
		for _, e := range events {
			if e.ID > after {
				found = append(found, e)
			}
		}
	}
	slices.SortFunc(found, func(a, b reconciler.Event) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

// recordEvent records an event and notifies the subscribers.
func (c *Controller) recordEvent(e reconciler.Event) {
	if e.Type == "" {
		e.Type = reconciler.EventNormal
	}
	c.events.record(e)
	c.notifySubscribers()
}

// onProgress records the steps that are done, containers that are about to end, and the start times and restarts of components. The
// executor calls it.
func (c *Controller) onProgress(e execute.Progress) {
	if e.Step == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	record := func(reason string) {
		c.recordEvent(reconciler.Event{
			Bottle: e.Slug, Component: e.Step.Component, Reason: reason, Message: fmt.Sprintf("%s %s: %s", e.Step.Action, e.Step.Object, e.Step.Cause),
		})
	}
	switch {
	case e.Done && e.Err == nil:
		record(reconciler.EventStepDone)
	case e.Done:
	case e.Step.Action == plan.Stop || e.Step.Action == plan.Remove:
		record(reconciler.EventEnding) // whoever has a program in there asks why as soon as that ends
	case e.Step.Action == plan.Start:
		b := c.bottle(e.Slug)
		f := b.backoffOf(e.Step.Component)
		f.started = time.Now()
		if !e.Step.LastRun.IsZero() && !b.resuming {
			f.restarts++
		}
	}
}

// publish replaces the status of a bottle and records the conditions that changed.
func (c *Controller) publish(b *bottle, s reconciler.BottleStatus, p phase) {
	before := b.status
	b.publish(s, p)
	for _, was := range before.Conditions {
		if b.status.Condition(was.Type) == nil {
			c.recordEvent(reconciler.Event{Bottle: s.Slug, Reason: reconciler.EventConditionChanged, Message: was.Type + " is False"})
		}
	}
	for _, now := range b.status.Conditions {
		was := before.Condition(now.Type)
		unchanged := was != nil && was.Status == now.Status && (was.Reason == now.Reason || now.Type != reconciler.ConditionReady)
		if unchanged || now.Type == reconciler.ConditionReconciling { // its steps are events
			continue
		}
		e := reconciler.Event{Bottle: s.Slug, Reason: reconciler.EventConditionChanged, Message: fmt.Sprintf("%s is %s (%s)", now.Type, now.Status, now.Reason)}
		if now.Message != "" {
			e.Message += ": " + now.Message
		}
		bad := now.Status == statusTrue && now.Type != reconciler.ConditionCompleted
		if now.Type == reconciler.ConditionReady {
			bad = now.Status == statusFalse && now.Reason != reconciler.ReasonSuspend && now.Reason != reconciler.ReasonCompleted
		}
		if bad {
			e.Type = reconciler.EventWarning
		}
		c.recordEvent(e)
	}
}
