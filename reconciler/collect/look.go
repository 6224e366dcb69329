package collect

import (
	"sync"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

const (
	// lookPoll is the greatest interval while somebody looks at what sidecars refused: it is seen seconds later, and not half a minute.
	lookPoll = 2 * time.Second
	// lookCost is what each output adds to that, so that the engine is not kept busy with hundreds of them.
	lookCost = 10 * time.Millisecond
)

// looks counts who looks. The zero value is that nobody does.
type looks struct {
	mu    sync.Mutex
	n     int
	begun chan struct{} // closed when somebody begins to look while nobody did; nil until somebody waits for that
}

// Look has outputs read often until stop is called, and at once if nobody looked before. On a nil collector it does nothing.
func (c *Collector) Look() (stop func()) {
	if c == nil {
		return func() {}
	}
	l := &c.looks
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n == 1 && l.begun != nil {
		close(l.begun)
		l.begun = nil
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.n--
	})
}

// pause is the interval until the next read, and a channel that is closed when somebody begins to look meanwhile.
func (c *Collector) pause(wait, took time.Duration) (time.Duration, <-chan struct{}) {
	c.mu.Lock()
	outputs := len(c.outputs)
	c.mu.Unlock()
	l := &c.looks
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n > 0 {
		wait = min(wait, lookPoll+time.Duration(outputs)*lookCost)
	}
	if l.begun == nil {
		l.begun = make(chan struct{})
	}
	return reconciler.Jitter(max(wait, readIntervalFactor*took)), l.begun
}
