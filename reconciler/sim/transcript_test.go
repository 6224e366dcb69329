package sim

import (
	"strings"
	"sync"
)

// transcript is a log that many write to.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *transcript) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
