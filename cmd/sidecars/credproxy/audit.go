package credproxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
)

const (
	// maxAuditPath and maxAuditMethod bound what a client can make us log.
	maxAuditPath   = 1024
	maxAuditMethod = 32
)

// auditLine is a logger for one line, and the line.
type auditLine struct {
	logger
	text []byte
}

func newAuditLine(log logger) *auditLine {
	line := &auditLine{}
	line.logger = log.Output(line)
	return line
}

// Write implements io.Writer.
func (l *auditLine) Write(text []byte) (int, error) {
	l.text = append(l.text[:0], text...)
	return len(text), nil
}

// begin puts on record that a request is about to be served. Its error means: don't.
func (x *exchange) begin(refused bool) error {
	x.id = x.audit.lastID.Add(1)
	x.uses.refused = refused
	if x.route != nil {
		x.uses.route = x.route.path
	}
	own, err := x.audit.use(x.uses)
	if x.counted = !own; x.counted {
		return err
	}
	line := x.auditLine("begin", "request begins")
	defer x.audit.lines.Put(line)
	return x.audit.write(line.text)
}

// end puts on record how a request ended.
func (x *exchange) end() {
	if x.counted {
		x.audit.used(x.uses, result{
			failed: !x.completed || x.w.status >= http.StatusBadRequest, rejected: x.code != "", sent: x.body.Bytes(), received: x.w.bytes,
		})
		return
	}
	line := x.auditLine("end", "request ended")
	defer x.audit.lines.Put(line)
	x.audit.writeSoon(line.text)
}

// auditLine makes one audit line. The query is left out of it: it may carry what the client, or the route,
// takes for a credential.
func (x *exchange) auditLine(phase, message string) *auditLine {
	line := x.audit.lines.Get().(*auditLine) //nolint:forcetypeassert // nothing else is put in
	event := line.Info().Str("event", "request").Str("phase", phase).Uint64("id", x.id)
	if x.route != nil {
		event.Str("route", x.route.path)
	}
	if x.uses.refused {
		event.Bool("refused", true)
	}
	event.Str("method", x.in.Method[:min(len(x.in.Method), maxAuditMethod)]).Str("path", x.auditPath())
	if phase == "end" {
		if x.route != nil {
			x.route.addUpstream(event)
		}
		addReason(event, x.code, x.cause)
		if x.err != nil {
			event.Str("error", x.describe())
		}
		if !x.completed {
			event.Bool("aborted", true)
		}
		event.Int("status", x.w.status).Int64("bytes", x.w.bytes).Int64("request_bytes", x.body.Bytes()).
			Int64("duration_ms", time.Since(x.started).Milliseconds())
	}
	event.Msg(message)
	return line
}

// addUpstream adds the host and port of a route's upstream to a line.
func (r *route) addUpstream(event *zerolog.Event) {
	port, _ := strconv.ParseUint(portOf(r.upstream), 10, 16) // the manifest's rules have checked it
	event.Str("host", r.upstream.Hostname()).Uint16("port", uint16(port))
}

// addReason adds why a request was refused, or its credential was: by a code for programs, if there is one, and in words.
func addReason(event *zerolog.Event, code, reason string) {
	if code != "" {
		event.Str("code", code)
	}
	if reason != "" {
		event.Str("reason", sidecar.Clip(reason))
	}
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
