package audit

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits limit the growth of a bottle's log.
type Limits struct {
	Bytes int64      // of the records of one component
	Gaps  int64      // bytes of gaps that no record follows
	Rate  rate.Limit // sustained records a second of one component
	Burst int        // records at once
}

// DefaultLimits allow some 50 MiB a bottle: at a few hundred bytes a record, 120,000 records of pipelock and cred-proxy. People's
// decisions are not limited, so that no container can use up their space.
var DefaultLimits = Limits{Bytes: 24 << 20, Gaps: 1 << 20, Rate: 2, Burst: 4000}

// Delays of a gap that no record follows: the first after gapDelay, each further one after twice as long, since a flood may last for
// days. Otherwise a gap is written before the next record.
const (
	gapDelay    = 10 * time.Second
	maxGapDelay = 24 * time.Hour
)

// Trail copies decisions from the output of a bottle's sidecars into its log: each once and in the order of its sidecar, or counted in a
// gap. It never rewrites the log, so beyond the limits it is the later records that are only counted. It is safe for concurrent use.
type Trail struct {
	bottle string
	limits Limits
	// OnStatement, if set before use, is called with every new statement, recorded or only counted.
	OnStatement func(kind string, s *Statement)

	mu      sync.Mutex
	log     *Log
	sources map[string]*source       // by shortID of the container
	used    map[string]int64         // bytes in the log by component; under "" those of gaps that no record follows
	rates   map[string]*rate.Limiter // by component
	changed bool                     // since Save
}

// source is a container's output.
type source struct {
	component string
	committed Position      // of the last record in the log
	position  Position      // of the last record read
	gap       Gap           // the records between them
	due       time.Time     // time to write the gap without a record; zero when there is no gap
	delay     time.Duration // until the next gap is due
}

// OpenTrail opens a bottle's log and restores the positions of its sidecars' output. Close it after use.
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

// Path returns the path of the log.
func (t *Trail) Path() string { return t.log.Path() }

// shortID returns a container's ID as in records: its first 12 characters.
func shortID(id string) string { return id[:min(len(id), 12)] }

func (t *Trail) source(id, component string) *source {
	s := t.sources[shortID(id)]
	if s == nil {
		s = &source{component: component, delay: gapDelay}
		t.sources[shortID(id)] = s
	}
	return s
}

// LastLogged returns the time of the last line of a container's output that the log accounts for; zero when there is none.
func (t *Trail) LastLogged(id string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[shortID(id)]; s != nil {
		return s.committed.Logged
	}
	return time.Time{}
}

// Add records a statement (see IsStatement) of a container's output, or counts it in a gap. at is when the engine received the line. After
// an error, read the output again from LastLogged.
func (t *Trail) Add(id, component string, at time.Time, line []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(id, component)
	kind, number, run, statement, ok := parse(line)
	switch known := !at.After(s.position.Logged); {
	case ok && run == s.position.Run: // the number decides, not the time: the host's clock may have been set back
		if number <= s.position.Number {
			return nil
		}
	case known:
		return nil
	case !ok:
		s.gap.Malformed = saturatingAdd(s.gap.Malformed, 1)
		return t.skip(id, s, Position{Logged: at, Run: s.position.Run, Number: s.position.Number})
	}
	t.countLost(s, at, run, number)
	before := s.position
	s.position = Position{Logged: at, Run: run, Number: number}
	written, err := t.record(id, s, before, kind, &statement)
	if err == nil && t.OnStatement != nil {
		t.OnStatement(kind, &statement)
	}
	if err != nil || written {
		return err
	}
	if s.gap.Dropped == nil {
		s.gap.Dropped = map[string]uint64{}
	}
	s.gap.Dropped[kind] = saturatingAdd(s.gap.Dropped[kind], max(1, statement.Count))
	return t.skip(id, s, s.position)
}

// countLost adds to the gap the numbers that are missing before this one.
func (t *Trail) countLost(s *source, at time.Time, run Text, number uint64) {
	next := uint64(1)
	if run == s.position.Run {
		next = s.position.Number + 1
	}
	if number == next {
		return
	}
	s.extendGap(s.position.Logged)
	s.extendGap(at)
	s.gap.Lost = saturatingAdd(s.gap.Lost, number-next)
	s.position.Run, s.position.Number = run, number-1
}

// saturatingAdd adds without overflow, since a sidecar may claim any number.
func saturatingAdd(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// extendGap extends the gap's time range to include at.
func (s *source) extendGap(at time.Time) {
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

// record writes a record, with the gap before it, unless the limits forbid it.
func (t *Trail) record(id string, s *source, before Position, kind string, statement *Statement) (written bool, err error) {
	if t.used[s.component] >= t.limits.Bytes || !t.rate(s.component).Allow() {
		return false, nil
	}
	gap, err := t.gapLine(id, s, before)
	if err != nil {
		return false, err
	}
	line, err := t.line(Record{Kind: kind, Component: s.component, Container: shortID(id), Position: s.position, Statement: statement})
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

// skip advances to a position without a record, which the gap counts.
func (t *Trail) skip(id string, s *source, to Position) error {
	if s.due.IsZero() {
		s.due = time.Now().Add(s.delay)
	}
	s.position = to
	s.extendGap(to.Logged)
	return t.writeGap(id, s, false)
}

// writeGap writes the gap, if there is one and it is due, or with now at once.
func (t *Trail) writeGap(id string, s *source, now bool) error {
	if s.gap.empty() || !now && time.Now().Before(s.due) {
		return nil
	}
	line, err := t.gapLine(id, s, s.position)
	if err != nil || t.used[""]+int64(len(line)) > t.limits.Gaps {
		return err // no room: it is written with the next record, or once the log is archived
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
	return t.line(Record{Kind: KindGap, Component: s.component, Container: shortID(id), Position: upTo, Gap: &gap})
}

func (t *Trail) line(r Record) ([]byte, error) {
	r.Time, r.Bottle = time.Now().UTC(), t.bottle
	return marshal(r)
}

// write appends a gap, a record, or both, and advances the committed position accordingly. What a full disk cut off is read again.
func (t *Trail) write(s *source, account string, gap []byte, afterGap Position, line []byte, afterLine Position) error {
	var lines [][]byte
	var after []Position
	if len(gap) > 0 {
		lines, after = append(lines, gap), append(after, afterGap)
	}
	if len(line) > 0 {
		lines, after = append(lines, line), append(after, afterLine)
	}
	w, moved, err := t.log.write(lines...)
	if moved {
		clear(t.used)
	}
	for _, size := range w.sizes {
		t.used[account] += int64(size)
	}
	t.changed = true
	if w.lines > 0 {
		s.committed = after[w.lines-1]
	}
	if len(line) > 0 && w.lines == len(lines) {
		s.delay = gapDelay
	}
	s.gap, s.due = Gap{}, time.Time{}
	if err != nil {
		s.position = s.committed
	}
	if moved {
		return t.log.wrapWriteError(errors.Join(err, t.save()))
	}
	return t.log.wrapWriteError(err)
}

// FlushGap writes a container's gap after a read, if it is due. With last, after the last read, it writes the gap at once.
func (t *Trail) FlushGap(id string, last bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[shortID(id)]; s != nil {
		return t.writeGap(id, s, last)
	}
	return nil
}

// RecordLoss writes a gap of unknown size: the container's output from here on may be lost.
func (t *Trail) RecordLoss(id, component, why string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(id, component)
	s.gap.Why = why
	s.extendGap(s.position.Logged)
	s.extendGap(time.Now().UTC())
	return t.writeGap(id, s, true)
}

// Retain drops the positions of all containers except ids.
func (t *Trail) Retain(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for container := range t.sources {
		if !slices.ContainsFunc(ids, func(id string) bool { return shortID(id) == container }) {
			delete(t.sources, container)
			t.changed = true
		}
	}
}

// Close saves, notes the last record in the log of heads, and closes the log.
func (t *Trail) Close() error {
	err := t.Save()
	if err == nil && t.log.file != nil {
		err = t.log.Commit()
	}
	return errors.Join(err, t.log.Close())
}

// FullComponents returns the names of the components whose space in the log is used up.
func (t *Trail) FullComponents() []string {
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
