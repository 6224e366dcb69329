package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/versions"

	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// initialSize is the API version from which on a terminal has a size before its process starts.
	initialSize = "1.42"
	// sizeInterval and sizeTimeout are how often, and how long, an older engine is asked for it: it refuses while nothing runs.
	sizeInterval = time.Millisecond
	sizeTimeout  = 2 * time.Second
)

// consoleSize is a terminal's size in Docker's order; nil where there is none, or its size is not known.
func consoleSize(tty *engine.Terminal) *[2]uint {
	if tty == nil || tty.Width <= 0 || tty.Height <= 0 {
		return nil
	}
	return &[2]uint{uint(tty.Height), uint(tty.Width)}
}

// sizesFirst reports whether the engine gives a terminal its size before the process starts.
func (e *Engine) sizesFirst() bool {
	return !versions.LessThan(e.client.ClientVersion(), initialSize)
}

// sizeEarly has an older engine size the terminal of a process that is about to run, while ctx lasts.
func (e *Engine) sizeEarly(ctx context.Context, p *process, tty *engine.Terminal) {
	if consoleSize(tty) == nil || e.sizesFirst() {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
		defer cancel()
		for p.Resize(ctx, tty.Width, tty.Height) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(sizeInterval):
			}
		}
	}()
}
