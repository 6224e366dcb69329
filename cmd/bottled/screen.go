package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// line is one line of text for people.
type line struct {
	text string
	bad  bool // tells of something that is not as it should be
	wrap bool // goes on in the next line of a narrow terminal, where others are cut
}

// paint colours the line on a terminal.
func (l line) paint() string {
	if l.bad {
		return paint("!", l.text)
	}
	return l.text
}

// screen shows lines at the end of a terminal and replaces them by the next ones.
type screen struct {
	out           io.Writer
	size          func() (width, height int)
	drawn         int // lines
	width, height int // when they were drawn
}

func newScreen(terminal *os.File) *screen {
	return &screen{out: terminal, size: func() (int, int) {
		width, height, err := term.GetSize(int(terminal.Fd()))
		if err != nil || width < 20 || height < 3 {
			return 80, 24
		}
		return width, height
	}}
}

// draw writes the lines, of which there must not be more than height, over the ones it drew before. The cursor is hidden and
// wrapping is off only within one write, so the terminal is as it was whenever the process ends.
func (s *screen) draw(lines func(height, width int) []line) error {
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
		l.text = firstRunes(l.text, width)
		b.WriteString("\x1b[2K" + l.paint() + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h\x1b[?25h")
	s.drawn, s.width, s.height = len(all), width, height
	_, err := io.WriteString(s.out, b.String())
	return err
}

func firstRunes(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}
