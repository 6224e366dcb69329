package credproxy

import (
	"net/http"
	"strings"
	"time"
)

// maxAuditPath bounds what a client can make us log.
const maxAuditPath = 1024

// audit writes the one line that every request leaves behind, however it ended. The query is left out:
// it may carry what the client took for a credential.
func (x *exchange) audit() {
	path, _, _ := strings.Cut(x.in.RequestURI, "?")
	if len(path) > maxAuditPath {
		path = path[:maxAuditPath] + "…"
	}
	event := x.log.Info().Str("event", "request")
	if x.route != nil {
		event.Str("route", x.route.path)
		path = x.route.token.redact(path)
	}
	if x.err != nil {
		event.Str("error", x.describe())
	}
	if !x.completed {
		event.Bool("aborted", true)
	}
	event.Str("method", x.in.Method).Str("path", path).Int("status", x.w.status).Int64("bytes", x.w.bytes).
		Int64("duration_ms", time.Since(x.started).Milliseconds()).Msg("request ended")
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
