package pipelock

import (
	"context"
	"net/http"
	"time"

	"github.com/bot-bottle/bottled/state/audit"
)

// What the clients, which may be hostile, can take of the container's 256 MiB in all. The sum, with some 20 MB that the
// program takes itself, stays below memoryBytes.
const (
	// maxConns bounds the client connections that aren't tunnels, of which each takes some 20 KB.
	maxConns = 1024
	// headersCost is for the headers of their requests.
	headersCost = 24 << 20
	// buffersCost is for exchanges: their buffers, goroutines, and upstream connections.
	buffersCost = 72 << 20
	// shareTime is how long an exchange waits for its share of them.
	shareTime = 5 * time.Second
)

// What one exchange takes of buffersCost (measured, and rounded up).
const (
	tunnelCost = 2*copyBytes + 32<<10
	plainCost  = 96 << 10
	scanCost   = 64 << 10  // more: its body is looked into
	unzipCost  = 256 << 10 // more: it is decompressed for that
	// helloFree bytes of a ClientHello are in tunnelCost. Each more is held several times, here and by crypto/tls, in buffers that double.
	helloFree      = 4 << 10
	helloByteCosts = 6
)

// reserve takes a share of the buffers, to be given back with release. Who came first gets it first.
func (p *proxy) reserve(ctx context.Context, cost int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, p.shareTime)
	defer cancel()
	if p.buffers.Acquire(ctx, cost) != nil {
		return nil, &refusal{status: http.StatusServiceUnavailable, code: audit.CodeOverload, reason: "too many requests at once"}
	}
	return func() { p.buffers.Release(cost) }, nil
}
