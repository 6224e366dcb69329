package pipelock

import (
	"context"
	"net/http"
	"time"

	"github.com/bot-bottle/bottled/state/audit"
)

// Limits on the memory that clients, which may be hostile, can take of the container's 256 MiB. The sum, with some 20 MB for the program
// itself, stays below the Go memory limit.
const (
	// maxConns limits the client connections, except tunnels. Each takes some 20 KB.
	maxConns = 1024
	// headersCost limits the memory of their requests' headers.
	headersCost = 24 << 20
	// buffersCost limits the memory of exchanges: buffers, goroutines, and upstream connections.
	buffersCost = 72 << 20
	// shareTime is how long an exchange waits for its share of buffersCost.
	shareTime = 5 * time.Second
)

// Cost of one exchange (measured, and rounded up).
const (
	tunnelCost = 2*copyBytes + 32<<10
	plainCost  = 96 << 10
	scanCost   = 64 << 10 // additional cost of scanning the body; that of undoing its codings is reserved by dlp.Body
	// helloFree bytes of a ClientHello are part of tunnelCost. Each further byte is held several times, here and by crypto/tls, in buffers
	// that double.
	helloFree      = 4 << 10
	helloByteCosts = 6
)

// reserve acquires a share of the buffers, in order of arrival. The caller must call release.
func (p *proxy) reserve(ctx context.Context, cost int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, p.shareTime)
	defer cancel()
	if p.buffers.Acquire(ctx, cost) != nil {
		return nil, &refusal{status: http.StatusServiceUnavailable, code: audit.CodeOverload, reason: "too many requests at once"}
	}
	return func() { p.buffers.Release(cost) }, nil
}
