package credproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// idleTimeout is how long an exchange may go without a byte in either direction. There is no total limit:
// an agent's stream may last for hours, and a model may think for minutes before its first byte.
const idleTimeout = 15 * time.Minute

var errIdle = errors.New("nothing was sent or received")

// idleWatch ends an exchange that stands still.
type idleWatch struct {
	timer *time.Timer
	after time.Duration
}

// watchIdle cancels, and breaks the client's connection, when touch was not called for a while. Cancelling
// alone would not wake a write to a client that has stopped reading.
func watchIdle(after time.Duration, w http.ResponseWriter, cancel context.CancelCauseFunc) *idleWatch {
	conn := http.NewResponseController(w)
	return &idleWatch{after: after, timer: time.AfterFunc(after, func() {
		cancel(fmt.Errorf("%w for %s", errIdle, after))
		soon := time.Now().Add(time.Second) // time for the error response, if the client reads
		_ = errors.Join(conn.SetReadDeadline(soon), conn.SetWriteDeadline(soon))
	})}
}

func (i *idleWatch) touch() { i.timer.Reset(i.after) }

func (i *idleWatch) stop() { i.timer.Stop() }

// body returns a body whose reads count as progress.
func (i *idleWatch) body(body io.ReadCloser) io.ReadCloser { return &watchedBody{body, i} }

type watchedBody struct {
	io.ReadCloser
	watch *idleWatch
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.touch()
	}
	return n, err
}
