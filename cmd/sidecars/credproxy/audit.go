package credproxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxAuditPath and maxAuditMethod bound what a client can make us log.
	maxAuditPath   = 1024
	maxAuditMethod = 32
)

// auditLog is where the audit lines go. They have a writer of their own, and not just the logger, because a
// logger does not tell that it failed, and a request that leaves no trace must not be made.
type auditLog struct {
	lines  sync.Pool // of *auditLine
	lastID atomic.Uint64
}

func newAuditLog(log logger, out io.Writer) *auditLog {
	return &auditLog{lines: sync.Pool{New: func() any { return newAuditLine(log, out) }}}
}

// auditLine is a logger for one line, and whether that was written.
type auditLine struct {
	logger
	out io.Writer
	err error
}

func newAuditLine(log logger, out io.Writer) *auditLine {
	line := &auditLine{out: out}
	line.logger = log.Output(line)
	return line
}

// Write implements io.Writer.
func (l *auditLine) Write(text []byte) (int, error) {
	_, l.err = l.out.Write(text)
	return len(text), nil // zerolog would print the error, request by request
}

// begin writes the line that says that a request is about to be served. Its error means: don't.
func (x *exchange) begin() error {
	x.id = x.audit.lastID.Add(1)
	return x.writeLine("begin", "request begins")
}

// end writes the line that says how a request ended.
func (x *exchange) end() {
	if err := x.writeLine("end", "request ended"); err != nil {
		// What was begun is on record, and the next request will be refused.
		x.errorLog.Print("the end of a request could not be audited: ", err)
	}
}

// writeLine writes one audit line. The query is left out of it: it may carry what the client, or the route,
// takes for a credential.
func (x *exchange) writeLine(phase, message string) error {
	line := x.audit.lines.Get().(*auditLine) //nolint:forcetypeassert // nothing else is put in
	defer x.audit.lines.Put(line)
	event := line.Info().Str("event", "request").Str("phase", phase).Uint64("id", x.id)
	if x.route != nil {
		event.Str("route", x.route.path)
	}
	event.Str("method", x.in.Method[:min(len(x.in.Method), maxAuditMethod)]).Str("path", x.auditPath())
	if phase == "end" {
		if x.err != nil {
			event.Str("error", x.describe())
		}
		if !x.completed {
			event.Bool("aborted", true)
		}
		event.Int("status", x.w.status).Int64("bytes", x.w.bytes).Int64("request_bytes", x.body.bytes()).
			Int64("duration_ms", time.Since(x.started).Milliseconds())
	}
	event.Msg(message)
	return line.err
}

func (x *exchange) auditPath() string {
	path, _, _ := strings.Cut(x.in.RequestURI, "?")
	if x.route != nil {
		path = x.route.auth.token.redact(path) // before it is cut: the cut could leave a part of the token
	}
	if len(path) > maxAuditPath {
		path = path[:maxAuditPath] + "…"
	}
	return path
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64 // of the body
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(data)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
