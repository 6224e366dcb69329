package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what a bottle's sidecars can make of its log.
type Limits struct {
	Bytes int64      // of the records of one component
	Gaps  int64      // bytes of gaps that have no other record behind them
	Rate  rate.Limit // records a second of one component, in the long run
	Burst int        // records at once
}

// DefaultLimits are some 50 MiB a bottle: at a few hundred bytes a record, 120,000 records of pipelock and cred-proxy.
// The decisions of people come on top; nothing that a container does can use up their room.
var DefaultLimits = Limits{Bytes: 24 << 20, Gaps: 1 << 20, Rate: 2, Burst: 4000}

// A gap is written before the next record, and by itself when none comes: after gapDelay, then after twice that, and so on,
// since a flood may go on for days.
const (
	gapDelay    = 10 * time.Second
	maxGapDelay = 24 * time.Hour
)

// Trail takes a bottle's decisions out of its sidecars' output into its log. The log has each once, in the order of each
// sidecar, or counts it in a gap. What is in the log is never changed: where there are too many, it is the later ones that are
// only counted. It is safe for concurrent use.
type Trail struct {
	bottle string
	limits Limits

	mu      sync.Mutex
	log     *Log
	sources map[string]*source // by container, see short
	used    map[string]int64   // bytes in the log by component; of lone gaps ""
	rates   map[string]*rate.Limiter
	changed bool // since Save
}

// source is a container whose output is read.
type source struct {
	component string
	committed Position // the last record in the log
	position  Position // the last record read
	gap       Gap      // what came between them
	due       time.Time
	delay     time.Duration
}

// OpenTrail opens a bottle's log and finds out how far the sidecars' output was read into it. Close it after use.
func OpenTrail(dir, bottle string, limits Limits) (*Trail, error) {
	log, err := Open(dir, bottle)
	if err != nil {
		return nil, err
	}
	t := &Trail{bottle: bottle, limits: limits, log: log, sources: map[string]*source{}, used: map[string]int64{}, rates: map[string]*rate.Limiter{}}
	if err := t.restore(); err != nil {
		_ = log.Close() // nothing was written
		return nil, err
	}
	return t, nil
}

// Path is where the log is.
func (t *Trail) Path() string { return t.log.Path() }

// short is a container's ID as records have it.
func short(id string) string { return id[:min(len(id), 12)] }

func (t *Trail) source(id, component string) *source {
	s := t.sources[short(id)]
	if s == nil {
		s = &source{component: component, delay: gapDelay}
		t.sources[short(id)] = s
	}
	return s
}

// Reached returns when the engine got the last line of a container that the log accounts for.
func (t *Trail) Reached(id string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[short(id)]; s != nil {
		return s.committed.Logged
	}
	return time.Time{}
}

// Take reads a line of a container's output, see IsStatement. at is when the engine got it. After an error, the output must
// be read again from Reached on.
func (t *Trail) Take(id, component string, at time.Time, line []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(id, component)
	kind, number, run, statement, ok := parse(line)
	switch known := !at.After(s.position.Logged); {
	case ok && run == s.position.Run: // a higher number is news whenever it was logged: the host's clock may have been set back
		if number <= s.position.Number {
			return nil
		}
	case known:
		return nil
	case !ok:
		s.gap.Malformed = add(s.gap.Malformed, 1)
		return t.miss(id, s, Position{Logged: at, Run: s.position.Run, Number: s.position.Number})
	}
	t.countLost(s, at, run, number)
	before := s.position
	s.position = Position{Logged: at, Run: run, Number: number}
	written, err := t.record(id, s, before, kind, &statement)
	if err != nil || written {
		return err
	}
	if s.gap.Dropped == nil {
		s.gap.Dropped = map[string]uint64{}
	}
	s.gap.Dropped[kind] = add(s.gap.Dropped[kind], max(1, statement.Count))
	return t.miss(id, s, s.position)
}

// countLost notes the numbers that are missing before this one.
func (t *Trail) countLost(s *source, at time.Time, run Text, number uint64) {
	next := uint64(1)
	if run == s.position.Run {
		next = s.position.Number + 1
	}
	if number == next {
		return
	}
	s.extend(s.position.Logged)
	s.extend(at)
	s.gap.Lost = add(s.gap.Lost, number-next)
	s.position.Run, s.position.Number = run, number-1
}

// add does not start from zero again: a sidecar may claim any number.
func add(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// extend makes the gap's time include a moment.
func (s *source) extend(at time.Time) {
	if at.IsZero() {
		return
	}
	if s.gap.From.IsZero() || at.Before(s.gap.From) {
		s.gap.From = at
	}
	if at.After(s.gap.To) {
		s.gap.To = at
	}
}

// record writes a record, with the gap before it, if there is room for it.
func (t *Trail) record(id string, s *source, before Position, kind string, statement *Statement) (written bool, err error) {
	if t.used[s.component] >= t.limits.Bytes || !t.rate(s.component).Allow() {
		return false, nil
	}
	gap, err := t.gapLine(id, s, before)
	if err != nil {
		return false, err
	}
	line, err := t.line(Record{Kind: kind, Component: s.component, Container: short(id), Position: s.position, Statement: statement})
	if err != nil {
		return false, err
	}
	return true, t.write(s, s.component, gap, before, line, s.position)
}

func (t *Trail) rate(component string) *rate.Limiter {
	if t.rates[component] == nil {
		t.rates[component] = rate.NewLimiter(t.limits.Rate, t.limits.Burst)
	}
	return t.rates[component]
}

// miss moves on to a position without a record of it.
func (t *Trail) miss(id string, s *source, to Position) error {
	if s.due.IsZero() {
		s.due = time.Now().Add(s.delay)
	}
	s.position = to
	s.extend(to.Logged)
	return t.writeGap(id, s, false)
}

// writeGap writes the gap, if there is one, when it is due.
func (t *Trail) writeGap(id string, s *source, now bool) error {
	if s.gap.empty() || !now && time.Now().Before(s.due) {
		return nil
	}
	line, err := t.gapLine(id, s, s.position)
	if err != nil || t.used[""]+int64(len(line)) > t.limits.Gaps {
		return err // it is written with the next record, or when the log was archived
	}
	if err := t.write(s, "", line, s.position, nil, s.position); err != nil {
		return err
	}
	s.delay = min(2*s.delay, maxGapDelay)
	return nil
}

func (t *Trail) gapLine(id string, s *source, upTo Position) ([]byte, error) {
	if s.gap.empty() {
		return nil, nil
	}
	gap := s.gap
	return t.line(Record{Kind: KindGap, Component: s.component, Container: short(id), Position: upTo, Gap: &gap})
}

func (t *Trail) line(r Record) ([]byte, error) {
	r.Time, r.Bottle = time.Now().UTC(), t.bottle
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	return append(line, '\n'), nil
}

// write appends a gap, a record, or both, and notes how far the log goes then. What a full disk cut off is read again.
func (t *Trail) write(s *source, account string, gap []byte, afterGap Position, line []byte, afterLine Position) error {
	n, moved, err := t.log.write(slices.Concat(gap, line))
	if moved {
		clear(t.used)
	}
	t.used[account] += int64(n)
	t.changed = true
	complete := func(length int) bool { return length > 0 && n >= length-1 } // but for the newline, which the next line brings
	if complete(len(gap)) {
		s.committed = afterGap
	}
	if len(line) > 0 && n >= len(gap)+len(line)-1 {
		s.committed = afterLine
		s.delay = gapDelay
	}
	s.gap, s.due = Gap{}, time.Time{}
	if err != nil {
		s.position = s.committed
	}
	if moved {
		return t.log.explain(errors.Join(err, t.save()))
	}
	return t.log.explain(err)
}

// Settle writes a container's gap when there is nothing more to read: for now, which it may have to wait for, or at all.
func (t *Trail) Settle(id string, last bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[short(id)]; s != nil {
		return t.writeGap(id, s, last)
	}
	return nil
}

// Miss records that a container's output from here on may be missing, as many records as it may be.
func (t *Trail) Miss(id, component, why string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(id, component)
	s.gap.Why = why
	s.extend(s.position.Logged)
	s.extend(time.Now().UTC())
	return t.writeGap(id, s, true)
}

// Keep forgets all containers but these.
func (t *Trail) Keep(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for container := range t.sources {
		if !slices.ContainsFunc(ids, func(id string) bool { return short(id) == container }) {
			delete(t.sources, container)
			t.changed = true
		}
	}
}

// Close closes the log.
func (t *Trail) Close() error { return errors.Join(t.Save(), t.log.Close()) }

// Full names the components whose room in the log is used up.
func (t *Trail) Full() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var full []string
	for component, used := range t.used {
		if component != "" && used >= t.limits.Bytes {
			full = append(full, component)
		}
	}
	slices.Sort(full)
	return full
}
