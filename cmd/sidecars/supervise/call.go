package supervise

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// call is the HTTP request that carries a tool call. The SDK's own context of a handler does not end when
// the client goes, so the request's context travels along as a value.
type call struct {
	ctx      context.Context // ends when the client disconnects or cancels
	writer   *sharedWriter
	interval time.Duration
	waits    func() // to be called when the call begins to wait for a human

	mu       sync.Mutex
	beats    int
	delivery []func()
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
		ticker := time.NewTicker(c.interval)
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

// beat shows the client, and everything on the way to it, that the call is alive: a comment in the event
// stream, which no client sees as a message, and a progress notification for a client that asked for them.
func (c *call) beat(ctx context.Context, req *mcp.CallToolRequest) {
	c.writer.comment()
	token := req.Params.GetProgressToken()
	if token == nil {
		return
	}
	c.mu.Lock()
	c.beats++
	beats := c.beats
	c.mu.Unlock()
	// A client that can't be told is gone or going; its request's context says so.
	_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: token, Progress: float64(beats), Message: "waiting for a human's answer",
	})
}

// onDelivery registers what to do once the response was written to a client that was still there.
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

// sharedWriter is a response that the SDK and the keep-alive both write to. A client that does not read loses its
// connection, and so its call: a write that takes longer than the timeout fails. So does, for whoever asks in the end, one
// to a client that had left. A client may leave as soon as it has what it wanted, though the call goes on for a moment.
type sharedWriter struct {
	http.ResponseWriter
	client  context.Context // ends when it leaves
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

// extend gives the next write its time.
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

// close ends all writing and tells whether everything was written.
func (w *sharedWriter) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.extend() // for what the server has yet to write
	return !w.failed
}
