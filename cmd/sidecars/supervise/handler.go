package supervise

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxBodyBytes leaves room for the largest proposal, escaped.
const maxBodyBytes = 1 << 20

const sessionHeader = "Mcp-Session-Id"

// errCancelled is the cause of a call's end when the client sent notifications/cancelled.
var errCancelled = errors.New("the agent cancelled the call")

// hosts are the names under which a bottle's agent and the health check know us. A page in a browser that
// was rebound to our address would send another.
var hosts = []string{"supervise", "localhost", "127.0.0.1"}

// newHandler serves MCP at /mcp and at /, since agents are configured with http://supervise:9100 alone.
//
// The SDK runs stateless: any request stands for itself, so that a client goes on after a restart of the
// sidecar as if nothing had happened, where a session would be lost. The one thing that needs to connect
// two requests, a cancellation, is done here.
func newHandler(d *desk, keepAlive time.Duration) http.Handler {
	server := newServer(d)
	stateless := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless:           true,
		MaxRequestBodyBytes: maxBodyBytes,
		// checkHost is stricter, and lets the name supervise through.
		DisableLocalhostProtection:   true,
		PropagateRequestCancellation: true,
	})
	calls := &calls{next: stateless, interval: keepAlive, running: map[callID]context.CancelCauseFunc{}}
	protected := http.NewCrossOriginProtection().Handler(calls)
	mux := http.NewServeMux()
	mux.Handle("/mcp", protected)
	mux.Handle("/{$}", protected)
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // a prober that left needs no answer
	})
	return checkHost(mux)
}

func checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !slices.Contains(hosts, strings.ToLower(host)) {
			http.Error(w, "supervise: the Host header must be supervise, localhost or 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// calls gives every request its call, and ends the calls that a client cancels.
type calls struct {
	next     http.Handler
	interval time.Duration

	mu      sync.Mutex
	running map[callID]context.CancelCauseFunc
}

// callID names a running call. The session is an identifier that we give out and never check; it keeps
// apart clients that count their requests alike.
type callID struct{ session, request string }

// message is the part of a JSON-RPC message that matters here.
type message struct {
	Method string          `json:"method"`
	ID     json.RawMessage `json:"id"`
	Params struct {
		RequestID json.RawMessage `json:"requestId"`
	} `json:"params"`
}

// ServeHTTP implements http.Handler.
func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		c.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		status := http.StatusBadRequest
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "supervise: the request's body: "+err.Error(), status)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.serve(w, r, parseMessages(body))
}

func (c *calls) serve(w http.ResponseWriter, r *http.Request, messages []message) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	session := r.Header.Get(sessionHeader)
	for _, m := range messages {
		switch {
		case m.Method == "initialize" && session == "":
			w.Header().Set(sessionHeader, rand.Text())
		case m.Method == "tools/call" && session != "":
			defer c.register(callID{session, string(m.ID)}, cancel)()
		case m.Method == "notifications/cancelled" && session != "":
			c.cancel(callID{session, string(m.Params.RequestID)})
		}
	}
	shared := &sharedWriter{ResponseWriter: w}
	call := &call{ctx: ctx, writer: shared, interval: c.interval}
	c.next.ServeHTTP(shared, r.WithContext(context.WithValue(ctx, callKey{}, call)))
	if written := shared.close(); written && ctx.Err() == nil {
		call.deliver()
	}
}

func (c *calls) register(id callID, cancel context.CancelCauseFunc) (unregister func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[id] = cancel
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, id)
	}
}

func (c *calls) cancel(id callID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, running := c.running[id]; running {
		cancel(errCancelled)
	}
}

// parseMessages returns a body's messages; none when it is malformed, which is for the SDK to say.
func parseMessages(body []byte) []message {
	var batch []message
	if json.Unmarshal(body, &batch) == nil {
		return batch
	}
	var single message
	if json.Unmarshal(body, &single) == nil {
		return []message{single}
	}
	return nil
}
