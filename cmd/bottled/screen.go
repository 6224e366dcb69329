package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/bot-bottle/bottled/state/printable"
)

// line is one line of text for people.
type line struct {
	text string
	bad  bool // tells of something that is not as it should be
	wrap bool // goes on in the next line of a narrow terminal, where others are cut
}

// print escapes the line, and colours it on a terminal.
func (c console) print(l line) string {
	if l.bad {
		return c.paint("!", l.text)
	}
	return c.paint("", l.text)
}

// screen shows lines at the end of a terminal and replaces them by the next ones.
type screen struct {
	out           console
	size          func() (width, height int)
	drawn         int // lines
	width, height int // when they were drawn
}

func newScreen(c console) *screen {
	return &screen{out: c, size: func() (int, int) {
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
		l.text = firstRunes(printable.Line(l.text), width)
		b.WriteString("\x1b[2K" + s.out.print(l) + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h\x1b[?25h")
	s.drawn, s.width, s.height = len(all), width, height
	return s.out.data([]byte(b.String()))
}

func firstRunes(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}
