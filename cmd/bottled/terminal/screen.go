package terminal

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/state/printable"
)

// Screen shows lines at the end of a terminal and replaces them by the next ones.
type Screen struct {
	out           Console
	size          func() (width, height int)
	drawn         int // lines
	width, height int // when they were drawn
}

// NewScreen is a screen on the console's terminal.
func NewScreen(c Console) *Screen {
	return &Screen{out: c, size: func() (int, int) {
		terminal, is := c.w.(*os.File)
		if !is {
			return 80, 24
		}
		width, height, err := term.GetSize(int(terminal.Fd()))
		if err != nil || width < 20 || height < 3 {
			return 80, 24
		}
		return width, height
	}}
}

// NewScreenOfSize is a screen on a terminal whose size the function returns, for tests.
func NewScreenOfSize(c Console, size func() (width, height int)) *Screen {
	return &Screen{out: c, size: size}
}

// Draw writes the lines, at most height, over those it drew before. The cursor is hidden and
// wrapping is off only within one write, so the terminal is as it was whenever the process ends.
func (s *Screen) Draw(lines func(height, width int) []report.Line) error {
	width, height := s.size()
	var b strings.Builder
	b.WriteString("\x1b[?25l\x1b[?7l\r")
	switch {
	case s.drawn > 0 && (width != s.width || height != s.height):
		b.WriteString("\x1b[H\x1b[2J") // the terminal may have wrapped what was drawn, so nobody knows where it begins
	case s.drawn > 0:
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	all := lines(height-1, width) // below them is the cursor's line
	for _, l := range all {
		l.Text = firstRunes(printable.Line(l.Text), width)
		b.WriteString("\x1b[2K" + s.out.Print(l) + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h\x1b[?25h")
	s.drawn, s.width, s.height = len(all), width, height
	return s.out.Data([]byte(b.String()))
}

func firstRunes(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}

// Refresh draws again every second while ctx lasts, since ages grow and terminals are resized. It holds the lock for each drawing.
func Refresh(ctx context.Context, lock sync.Locker, draw func() error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lock.Lock()
		err := draw()
		lock.Unlock()
		if err != nil {
			return err
		}
	}
}
