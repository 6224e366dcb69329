package supervise

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/manifests/contract"
)

const sessionHeader = "Mcp-Session-Id"

// errCancelled is the cause of a call that the client cancelled with notifications/cancelled.
var errCancelled = errors.New("the agent cancelled the call")

// hosts are the accepted Host headers: those of the agent and the health check. A web page that reaches this address by DNS rebinding
// sends another.
var hosts = []string{contract.SuperviseName, "localhost", "127.0.0.1"}

// newHandler serves MCP at /mcp and /mcp/, and at /, since agents are configured with http://supervise:9100 alone.
//
// The SDK is stateless, so that a client continues after a restart of the sidecar, which would lose a session. Only cancellation relates
// two requests; calls implements it.
func newHandler(d *broker, t timing) http.Handler {
	server := newServer(d)
	stateless := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless:           true,
		MaxRequestBodyBytes: maxBodyBytes,
		// checkHost is stricter, and lets the name supervise through.
		DisableLocalhostProtection:   true,
		PropagateRequestCancellation: true,
	})
	calls := &calls{next: stateless, timing: t, slots: make(slots, maxActive), running: map[callID]context.CancelCauseFunc{}}
	protected := http.NewCrossOriginProtection().Handler(calls)
	mux := http.NewServeMux()
	mux.Handle("/mcp", protected)
	mux.Handle("/mcp/{$}", protected) // clients add the slash; a redirect would lose some of them their method
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

// calls runs each request as a call, and cancels calls on behalf of their client.
type calls struct {
	next   http.Handler
	timing timing
	slots  slots

	mu      sync.Mutex
	running map[callID]context.CancelCauseFunc
}

// callID identifies a running call. The session ID is issued and never checked; it distinguishes clients that use the same request IDs.
type callID struct{ session, request string }

// message holds the fields of a JSON-RPC message that calls needs.
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
	release, err := c.slots.acquire(r.Context(), c.timing.read)
	if err != nil {
		http.Error(w, "supervise: too many requests at once; repeat it later", http.StatusServiceUnavailable)
		return
	}
	defer release()
	body, status, err := c.readBody(w, r)
	if err != nil {
		http.Error(w, "supervise: the request's body: "+err.Error(), status)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	call := &call{
		ctx: ctx, writer: &sharedWriter{ResponseWriter: w, client: ctx, timeout: c.timing.write}, timing: c.timing, releaseSlot: release,
	}
	c.serve(call, cancel, r, body)
}

// readBody returns the body, or the status of its refusal.
func (c *calls) readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int, err error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(c.timing.read)); err != nil {
		return nil, http.StatusInternalServerError, err
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout, err
	case err != nil:
		return nil, http.StatusBadRequest, err
	}
	// A call may wait for hours. The server reads its connection meanwhile to notice that it closes.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return nil, http.StatusInternalServerError, err
	}
	return body, 0, nil
}

func (c *calls) serve(call *call, cancel context.CancelCauseFunc, r *http.Request, body []byte) {
	messages := parseMessages(body)
	if len(messages) > maxBatch {
		http.Error(call.writer, fmt.Sprintf("supervise: %d messages in one request are more than %d", len(messages), maxBatch), http.StatusBadRequest)
		return
	}
	session := r.Header.Get(sessionHeader)
	for _, m := range messages {
		switch {
		case m.Method == "initialize" && session == "":
			call.writer.Header().Set(sessionHeader, rand.Text())
		case m.Method == "tools/call" && session != "":
			defer c.register(callID{session, string(m.ID)}, cancel)()
		case m.Method == "notifications/cancelled" && session != "":
			c.cancel(callID{session, string(m.Params.RequestID)})
		}
	}
	r = r.WithContext(context.WithValue(call.ctx, callKey{}, call))
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.next.ServeHTTP(call.writer, r)
	if call.writer.close() {
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

// parseMessages returns the messages of a body: one or a batch. Malformed ones count; the SDK refuses them.
func parseMessages(body []byte) []message {
	var batch []json.RawMessage
	if json.Unmarshal(body, &batch) != nil {
		batch = []json.RawMessage{body}
	}
	messages := make([]message, len(batch))
	for i, raw := range batch[:min(len(batch), maxBatch)] {
		if json.Unmarshal(raw, &messages[i]) != nil {
			messages[i] = message{}
		}
	}
	return messages
}
