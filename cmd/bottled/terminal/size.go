package terminal

import (
	"os"
	"time"

	"golang.org/x/term"
)

// AwaitSize waits until a terminal has a size, at most for patience. It returns at once for what is no terminal.
func AwaitSize(f *os.File, patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if width, height, err := term.GetSize(int(f.Fd())); err != nil || width > 0 && height > 0 {
			return
		}
	}
}
