package credproxy

import (
	"io"
	"log"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/audit"
)

// auditDelay is how long the line about a request's end may wait for others to be written with.
const auditDelay = 10 * time.Millisecond

// auditLog is where the audit lines go. They have a writer of their own, and not just the logger, because a
// logger does not tell that it failed, and a request that leaves no trace must not be made.
//
// Lines that come at the same time share one write. That of a request's beginning is waited for; that of its end goes
// along with the next write, and is lost only when the process is killed within auditDelay.
type auditLog struct {
	out      io.Writer
	log      logger
	errorLog *log.Logger
	lines    sync.Pool // of *auditLine
	lastID   atomic.Uint64

	writing sync.Mutex // held by who writes; taken before mu

	mu    sync.Mutex
	batch *auditBatch // that lines are being added to
	timer *time.Timer // writes the ends that nothing came behind
	due   bool        // the timer runs

	numbers  sidecar.Numbers
	uses     map[usesKey]*uses // of this window
	own      map[bool]int      // requests with lines of their own, refused or not
	window   *time.Timer
	counting bool // a window has begun
}

// auditBatch is lines that are written at once. The result is guarded by the log's writing.
type auditBatch struct {
	text []byte
	ends bool // some are about the end of a request, which nobody waits for
	done bool
	err  error
}

// newAuditLog returns a log that writes to out what log formats. errorLog learns of ends that could not be written.
func newAuditLog(log logger, out io.Writer, errorLog *log.Logger) *auditLog {
	a := &auditLog{
		out: out, log: log, errorLog: errorLog, batch: &auditBatch{}, numbers: sidecar.NewNumbers(), uses: map[usesKey]*uses{}, own: map[bool]int{},
	}
	a.lines.New = func() any { return newAuditLine(log) }
	a.timer = time.AfterFunc(auditDelay, a.flush)
	a.timer.Stop()
	a.window = time.AfterFunc(sidecar.Window, a.count)
	a.window.Stop()
	return a
}

// add puts a line, with its number, into the batch.
func (a *auditLog) add(line []byte) *auditBatch {
	a.batch.text = a.numbers.Append(a.batch.text, line)
	return a.batch
}

// write returns when the text is written, or can't be.
func (a *auditLog) write(text []byte) error {
	a.mu.Lock()
	batch := a.add(text)
	a.mu.Unlock()
	return a.await(batch)
}

// await returns when a batch is written, or can't be.
func (a *auditLog) await(batch *auditBatch) error {
	runtime.Gosched() // whoever else has a line now adds it
	a.finish(batch)
	return batch.err
}

// credentialLine makes the line about the token of a route.
func (a *auditLog) credentialLine(r *route) []byte {
	line := newAuditLine(a.log)
	event, action, message := line.Info(), "loaded", "route has a token"
	if r.missing != "" {
		event, action, message = line.Warn(), "missing", "route answers 503: it has no token"
	}
	event.Str("event", "credential").Str("action", action).Str("route", r.path)
	r.addUpstream(event)
	if r.missing != "" {
		addReason(event, audit.CodeCredentialUnusable, r.missing)
	}
	event.Msg(message)
	return line.text
}

// writeSoon writes the text within auditDelay.
func (a *auditLog) writeSoon(text []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(text).ends = true
	if !a.due {
		a.due = true
		a.timer.Reset(auditDelay)
	}
}

// flush writes what waits.
func (a *auditLog) flush() {
	a.mu.Lock()
	a.due = false
	batch := a.batch
	a.mu.Unlock()
	a.finish(batch)
}

// finish writes a batch, unless that has been done.
func (a *auditLog) finish(batch *auditBatch) {
	a.writing.Lock()
	defer a.writing.Unlock()
	if batch.done {
		return
	}
	a.mu.Lock()
	a.batch = &auditBatch{text: make([]byte, 0, len(batch.text))} // the next one is as large, most likely
	a.mu.Unlock()
	batch.done = true
	if len(batch.text) == 0 {
		return
	}
	if _, batch.err = a.out.Write(batch.text); batch.err != nil && batch.ends {
		// What was begun is on record, and the next request will be refused.
		a.errorLog.Print("the end of requests could not be audited: ", batch.err)
	}
	batch.text = nil
}
