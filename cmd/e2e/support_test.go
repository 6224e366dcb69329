package e2e

import (
	"bytes"
	"sync"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
)

// Exit codes.
const (
	exitDone        = exit.Done
	exitFailed      = exit.Failed
	exitDifferences = exit.FoundDifferences
	exitBadInput    = exit.BadInput
	exitNoCommand   = exit.NoCommand
	exitCantInvoke  = exit.CannotInvoke
	exitNotFound    = exit.NotFound
	exitBySignal    = exit.SignalledFrom
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
