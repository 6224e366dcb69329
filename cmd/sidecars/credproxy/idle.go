package credproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// idleTimeout is how long an exchange may go without a byte in either direction. There is no total limit:
// an agent's stream may last for hours, and a model may think for minutes before its first byte.
const idleTimeout = 15 * time.Minute

var errIdle = errors.New("nothing was sent or received")

// idleWatch ends an exchange that stands still. When stop has returned it touches nothing any more, though the
// transport may still be reading the request's body: the connection may be another exchange's by then.
type idleWatch struct {
	after time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// watchIdle cancels, and breaks the client's connection, when touch was not called for a while. Cancelling
// alone would not wake a write to a client that has stopped reading.
func watchIdle(after time.Duration, w http.ResponseWriter, cancel context.CancelCauseFunc) *idleWatch {
	conn := http.NewResponseController(w)
	watch := &idleWatch{after: after}
	watch.timer = time.AfterFunc(after, func() {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		if watch.stopped {
			return
		}
		cancel(fmt.Errorf("%w for %s", errIdle, after))
		soon := time.Now().Add(time.Second) // time for the error response, if the client reads
		_ = errors.Join(conn.SetReadDeadline(soon), conn.SetWriteDeadline(soon))
	})
	return watch
}

func (i *idleWatch) touch() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.stopped {
		i.timer.Reset(i.after)
	}
}

func (i *idleWatch) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	i.timer.Stop()
}
