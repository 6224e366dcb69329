package sidecar

import (
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Limits of Decisions' output. The engine keeps some 30 MB of a container's output, which at these rates lasts for more than ten minutes,
// whatever the agent does. The controller reads it at least every 30 s.
const (
	// Window is how long decisions are counted before the counts are written.
	Window = 5 * time.Second
	// Within a window, up to equalLines equal decisions have their own lines, up to actionLines with the same action, and up to maxSubjects
	// subjects of an action have their own counts.
	equalLines  = 50
	actionLines = 100
	maxSubjects = 50
	// maxText limits a reason or a warning, in bytes.
	maxText = 512
)

// Subject identifies equal decisions.
type Subject struct {
	Event  string // egress, proposal
	Action string // allow, deny, …; each has its own limit, so that a flood of denials does not hide what was allowed
	Host   string
	Port   uint16
	Code   string // of a denial, as in the audit log
	Reason string
	// Warning is a finding that did not change the decision.
	Warning string
	Tool    string
}

// Decisions logs a sidecar's decisions, numbered, so that a reader notices missing ones. Of a flood it logs the first ones and counts the
// rest, so that no client can make the engine drop earlier lines. Use NewDecisions.
type Decisions struct {
	log zerolog.Logger
	Numbers

	mu       sync.Mutex
	timer    *time.Timer
	open     bool           // a window has begun
	lines    map[string]int // written in this window, by action
	subjects map[string]int // in equal, by action
	equal    map[Subject]*counted
	others   map[Subject]*counted // of event and action only
}

// counted counts decisions that have no line of their own.
type counted struct {
	lines, count   uint64
	sent, received int64
	since          time.Time
}

// NewDecisions returns Decisions that write to log.
func NewDecisions(log zerolog.Logger) *Decisions {
	d := &Decisions{log: log, Numbers: NewNumbers()}
	d.timer = time.AfterFunc(Window, d.Flush)
	d.timer.Stop()
	d.reset()
	return d
}

func (d *Decisions) reset() {
	d.open, d.lines, d.subjects, d.equal, d.others = false, map[string]int{}, map[string]int{}, map[Subject]*counted{}, map[Subject]*counted{}
}

// Record logs a decision or counts it. sent and received are bytes. more adds fields that are not in the subject to the line.
func (d *Decisions) Record(s Subject, sent, received int64, message string, more func(*zerolog.Event) *zerolog.Event) {
	s.Reason, s.Warning = Clip(s.Reason), Clip(s.Warning)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		d.open = true
		d.timer.Reset(Window)
	}
	t := d.counterOf(s)
	if t != nil && t.lines < equalLines && d.lines[s.Action] < actionLines {
		t.lines++
		d.lines[s.Action]++
		d.Number(traffic(more(d.line(s)), s, sent, received)).Msg(message)
		return
	}
	if t == nil || t.lines == 0 {
		t = d.other(s)
	}
	if t.count == 0 {
		t.since = time.Now()
	}
	t.count++
	t.sent += sent
	t.received += received
}

// Clip shortens a text of a decision to maxText bytes.
func Clip(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "…"
	}
	return text
}

// counterOf returns the counter of a subject, or nil if there are too many subjects.
func (d *Decisions) counterOf(s Subject) *counted {
	t := d.equal[s]
	if t == nil && d.subjects[s.Action] < maxSubjects {
		d.subjects[s.Action]++
		t = &counted{}
		d.equal[s] = t
	}
	return t
}

func (d *Decisions) other(s Subject) *counted {
	s = Subject{Event: s.Event, Action: s.Action}
	if d.others[s] == nil {
		d.others[s] = &counted{}
	}
	return d.others[s]
}

func (d *Decisions) line(s Subject) *zerolog.Event {
	e := d.log.Info()
	if s.Action == ActionDeny || s.Action == ActionError || s.Warning != "" {
		e = d.log.Warn()
	}
	e = e.Str("event", s.Event).Str("action", s.Action)
	if s.Tool != "" {
		e = e.Str("tool", s.Tool)
	}
	if s.Host != "" || s.Port != 0 {
		e = e.Str("host", s.Host).Uint16("port", s.Port)
	}
	if s.Code != "" {
		e = e.Str("code", s.Code)
	}
	if s.Reason != "" {
		e = e.Str("reason", s.Reason)
	}
	if s.Warning != "" {
		e = e.Str("warning", s.Warning)
	}
	return e
}

// traffic adds the bytes sent and received, except to a tool call.
func traffic(e *zerolog.Event, s Subject, sent, received int64) *zerolog.Event {
	if s.Tool != "" {
		return e
	}
	return e.Int64("sent", sent).Int64("received", received)
}

// The actions that are warnings in the log.
const (
	ActionDeny  = "deny"
	ActionError = "error"
)

// BlockedHeader distinguishes pipelock's own refusals from an upstream's responses. Its value is the code of the audit log.
const BlockedHeader = "X-Pipelock-Blocked"

// Flush writes the counts at the end of a window or of the process.
func (d *Decisions) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer.Stop()
	for s, t := range d.equal {
		d.count(s, t, false)
	}
	for s, t := range d.others {
		d.count(s, t, true)
	}
	d.reset()
}

func (d *Decisions) count(s Subject, t *counted, others bool) {
	if t.count == 0 {
		return
	}
	e := d.line(s).Uint64("count", t.count).Time("since", t.since)
	if others {
		e = e.Bool("others", true)
	}
	d.Number(traffic(e, s, t.sent, t.received)).Msg(s.Event + " " + s.Action + ", more of them")
}

// Numbers numbers the decisions of one process. It is not safe for concurrent use.
type Numbers struct {
	run  string
	last uint64
}

// NewNumbers returns numbers from 1.
func NewNumbers() Numbers { return Numbers{run: rand.Text()[:12]} }

// Number adds the run and the next number to a line.
func (n *Numbers) Number(e *zerolog.Event) *zerolog.Event {
	n.last++
	return e.Str("run", n.run).Uint64("number", n.last)
}

// Append appends a JSON line to text, with the run and the next number.
func (n *Numbers) Append(text, line []byte) []byte {
	n.last++
	text = append(append(text, line[:len(line)-len("}\n")]...), `,"run":"`...)
	text = append(append(text, n.run...), `","number":`...)
	return append(strconv.AppendUint(text, n.last, 10), "}\n"...)
}
