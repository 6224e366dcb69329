// Package terminaltest has a terminal for tests.
package terminaltest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Emulator is a terminal that knows the control sequences of package terminal. It is safe for concurrent use.
type Emulator struct {
	Width, Height int

	mu           sync.Mutex
	rows         [][]rune
	row, column  int
	noWrap, hide bool
	unknown      []string // control sequences
	pending      string   // the beginning of one
}

// New is an empty one.
func New(width, height int) *Emulator {
	return &Emulator{Width: width, Height: height, rows: make([][]rune, height)}
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)(\d*)([A-Za-z])`)

// Write shows text.
func (e *Emulator) Write(data []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := e.pending + string(data)
	e.pending = ""
	for text != "" {
		if m := sequence.FindStringSubmatch(text); m != nil {
			e.control(m[1]+m[2]+m[3], m[2])
			text = text[len(m[0]):]
			continue
		}
		if text[0] == '\x1b' && len(text) < 8 {
			e.pending = text
			break
		}
		r := []rune(text)[0]
		e.put(r)
		text = text[len(string(r)):]
	}
	return len(data), nil
}

func (e *Emulator) control(name, number string) {
	n, _ := strconv.Atoi(number)
	switch {
	case name == "?7l", name == "?7h":
		e.noWrap = name == "?7l"
	case name == "?25l", name == "?25h":
		e.hide = name == "?25l"
	case name == "H":
		e.row, e.column = 0, 0
	case name == "2J":
		e.rows = make([][]rune, e.Height)
	case name == "J":
		e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
		for i := e.row + 1; i < e.Height; i++ {
			e.rows[i] = nil
		}
	case name == "2K":
		e.rows[e.row] = nil
	case strings.HasSuffix(name, "A"):
		e.row = max(e.row-n, 0)
	case strings.HasSuffix(name, "m"):
	default:
		e.unknown = append(e.unknown, name)
	}
}

func (e *Emulator) put(r rune) {
	switch r {
	case '\r':
		e.column = 0
		return
	case '\n':
		e.newline()
		return
	}
	if e.column == e.Width {
		if e.noWrap {
			e.column--
		} else {
			e.newline()
		}
	}
	for len(e.rows[e.row]) <= e.column {
		e.rows[e.row] = append(e.rows[e.row], ' ')
	}
	e.rows[e.row][e.column] = r
	e.column++
}

func (e *Emulator) newline() {
	e.column = 0
	if e.row++; e.row == e.Height {
		e.row--
		e.rows = append(e.rows[1:], nil)
	}
}

// Text is what is on the terminal, without what is empty below.
func (e *Emulator) Text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, r := range e.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// Restored fails when the terminal is not as it was at the start.
func (e *Emulator) Restored() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.noWrap || e.hide || len(e.unknown) > 0 || e.pending != "" {
		return fmt.Errorf("wrapping off: %t, cursor hidden: %t, unknown: %q %q", e.noWrap, e.hide, e.unknown, e.pending)
	}
	return nil
}

// Size is its width and height.
func (e *Emulator) Size() (width, height int) { return e.Width, e.Height }

// Resize makes it another width. It shows the rows then, with the cursor below them.
func (e *Emulator) Resize(width int, rows ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Width, e.rows, e.row = width, make([][]rune, e.Height), len(rows)
	for i, row := range rows {
		e.rows[i] = []rune(row)
	}
}
