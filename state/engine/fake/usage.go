package fake

import (
	"context"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

// Usage of a running container is the same for all.
func (e *Engine) Usage(ctx context.Context, id string) (usage engine.Usage, err error) {
	err = e.read(ctx, func() error {
		c, err := e.find(id)
		if err == nil && c.run.state == engine.StateRunning {
			usage = engine.Usage{CPU: time.Second, Memory: 10 << 20, MemoryLimit: c.spec.Limits.Memory, Processes: 1}
		}
		return err
	})
	return usage, err
}
