package sidecar

import (
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Bounds of what Decisions writes. The engine keeps some 30 MB of a container's output: at these rates ten minutes and more,
// whatever the agent does, and the controller reads it at least every half a minute.
const (
	// Window is how long equal decisions are counted before the count is written.
	Window = 5 * time.Second
	// equalLines is how many equal decisions have a line each in one window, actionLines how many with the same action have, and
	// maxSubjects how many subjects of an action are counted apart.
	equalLines  = 50
	actionLines = 100
	maxSubjects = 50
	// maxText bounds a reason or a warning, in bytes.
	maxText = 512
)

// Subject is what equal decisions have in common.
type Subject struct {
	Event  string // egress, proposal
	Action string // allow, deny, …: each has a budget of its own, so that a flood of denials hides nothing that was allowed
	Host   string
	Port   uint16
	Code   string // of the audit log, when it is denied
	Reason string
	// Warning is what the decision passed over.
	Warning string
	Tool    string
}

// Decisions writes a sidecar's decisions to its log, numbered, so that the reader can tell how many are missing. Of a flood it
// writes the first ones and counts the others: no client may make the engine drop earlier lines. The zero value is not usable.
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

// counted is decisions that have no line of their own.
type counted struct {
	lines, count   uint64
	sent, received int64
	since          time.Time
}

// NewDecisions returns what writes to log.
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

// Record writes a decision, or counts it. sent and received are bytes; more adds to the line what is not in the subject, if it
// is written.
func (d *Decisions) Record(s Subject, sent, received int64, message string, more func(*zerolog.Event) *zerolog.Event) {
	s.Reason, s.Warning = Clip(s.Reason), Clip(s.Warning)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		d.open = true
		d.timer.Reset(Window)
	}
	t := d.tally(s)
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

// Clip bounds a text of a decision.
func Clip(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "…"
	}
	return text
}

// tally returns what counts a subject; nil when there are too many.
func (d *Decisions) tally(s Subject) *counted {
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

// traffic adds the bytes; a tool moves none.
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

// BlockedHeader is set in pipelock's own answers to requests that it denies, so that cred-proxy can tell them from an upstream's. Its value
// is the code in the audit log.
const BlockedHeader = "X-Pipelock-Blocked"

// Flush writes the counts, at the end of a window or of the process.
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

// NewNumbers begins with 1.
func NewNumbers() Numbers { return Numbers{run: rand.Text()[:12]} }

// Number adds the process's name and the next number to a line.
func (n *Numbers) Number(e *zerolog.Event) *zerolog.Event {
	n.last++
	return e.Str("run", n.run).Uint64("number", n.last)
}

// Append appends a line of JSON to text, with the process's name and the next number.
func (n *Numbers) Append(text, line []byte) []byte {
	n.last++
	text = append(append(text, line[:len(line)-len("}\n")]...), `,"run":"`...)
	text = append(append(text, n.run...), `","number":`...)
	return append(strconv.AppendUint(text, n.last, 10), "}\n"...)
}
