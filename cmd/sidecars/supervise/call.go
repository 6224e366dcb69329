package supervise

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// call is the HTTP request of a tool call. The SDK's context of a handler does not end when the client disconnects, so the
// request's context is a value in it.
type call struct {
	ctx         context.Context // ends when the client disconnects or cancels
	writer      *sharedWriter
	timing      timing
	releaseSlot func() // called when the call begins to wait for a human

	mu         sync.Mutex
	keepAlives int
	delivery   []func()
}

type callKey struct{}

// callFrom returns the call that a handler's context belongs to.
func callFrom(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		panic("supervise: a tool was called outside of the HTTP handler")
	}
	return c
}

// tick returns a channel that fires at the keep-alive interval until the call ends.
func (c *call) tick() <-chan struct{} {
	ticks := make(chan struct{})
	go func() {
		ticker := time.NewTicker(c.timing.keepAlive)
		defer ticker.Stop()
		for {
			select {
			case <-c.ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-c.ctx.Done():
				return
			case ticks <- struct{}{}:
			}
		}
	}()
	return ticks
}

// enough returns a channel that fires when a call without an answer has to return: before its client gives up. It never does for a client
// that asks for progress: that keeps it waiting, or it has a timeout of its own.
func (c *call) enough(req *mcp.CallToolRequest) (enough <-chan time.Time, stop func()) {
	if req.Params.GetProgressToken() != nil {
		return nil, func() {}
	}
	timer := time.NewTimer(c.timing.wait)
	return timer.C, func() { timer.Stop() }
}

// keepAlive sends a comment in the event stream, which clients ignore, so that neither the client nor a proxy closes the connection. A
// client that asked for progress gets a notification, too.
func (c *call) keepAlive(ctx context.Context, req *mcp.CallToolRequest) {
	c.writer.comment()
	token := req.Params.GetProgressToken()
	if token == nil {
		return
	}
	c.mu.Lock()
	c.keepAlives++
	keepAlives := c.keepAlives
	c.mu.Unlock()
	// If this fails, the client has disconnected, which ends the request's context.
	_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: token, Progress: float64(keepAlives), Message: "waiting for a human's answer",
	})
}

// onDelivery registers a function that runs once the whole response has been written to a connected client.
func (c *call) onDelivery(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivery = append(c.delivery, do)
}

func (c *call) deliver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, do := range c.delivery {
		do()
	}
	c.delivery = nil
}

// sharedWriter is a response that both the SDK and the keep-alive write to. A write that takes longer than the timeout fails, so that a
// client that does not read loses its connection and its call. A write after the client disconnected counts as failed, too: clients may
// disconnect as soon as they have the answer, while the call still runs.
type sharedWriter struct {
	http.ResponseWriter
	client  context.Context // ends when the client disconnects
	timeout time.Duration

	mu     sync.Mutex
	failed bool
	closed bool
}

// Write implements http.ResponseWriter.
func (w *sharedWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, http.ErrHandlerTimeout
	}
	w.extend()
	w.failed = w.failed || w.client.Err() != nil
	n, err := w.ResponseWriter.Write(data)
	w.failed = w.failed || err != nil
	return n, err
}

// FlushError is what http.ResponseController calls.
func (w *sharedWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return http.ErrHandlerTimeout
	}
	w.extend()
	err := http.NewResponseController(w.ResponseWriter).Flush()
	w.failed = w.failed || err != nil
	return err
}

// extend sets the deadline of the next write.
func (w *sharedWriter) extend() {
	err := http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.timeout))
	w.failed = w.failed || err != nil
}

// comment writes an empty event-stream comment. Only a blocked tool call may do so: by then the SDK has
// decided that the response is an event stream.
func (w *sharedWriter) comment() {
	if _, err := w.Write([]byte(": waiting\n\n")); err == nil {
		_ = w.FlushError() // remembered in failed
	}
}

// close ends all writing and reports whether everything was written.
func (w *sharedWriter) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.extend() // for what the server has yet to write
	return !w.failed
}
