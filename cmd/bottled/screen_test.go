package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bot-bottle/bottled/reconciler/execute"
)

// emulator is a terminal, as far as these tests need one.
type emulator struct {
	width, height int

	mu           sync.Mutex
	rows         [][]rune
	row, column  int
	noWrap, hide bool
	unknown      []string // sequences
	pending      string   // the beginning of one
}

func newEmulator(width, height int) *emulator {
	return &emulator{width: width, height: height, rows: make([][]rune, height)}
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)(\d*)([A-Za-z])`)

func (e *emulator) Write(data []byte) (int, error) {
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

func (e *emulator) control(name, number string) {
	n, _ := strconv.Atoi(number)
	switch {
	case name == "?7l", name == "?7h":
		e.noWrap = name == "?7l"
	case name == "?25l", name == "?25h":
		e.hide = name == "?25l"
	case name == "H":
		e.row, e.column = 0, 0
	case name == "2J":
		e.rows = make([][]rune, e.height)
	case name == "J":
		e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
		for i := e.row + 1; i < e.height; i++ {
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

func (e *emulator) put(r rune) {
	switch r {
	case '\r':
		e.column = 0
		return
	case '\n':
		e.newline()
		return
	}
	if e.column == e.width {
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

func (e *emulator) newline() {
	e.column = 0
	if e.row++; e.row == e.height {
		e.row--
		e.rows = append(e.rows[1:], nil)
	}
}

// text is what is on the terminal, without what is empty below.
func (e *emulator) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, r := range e.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// restored says whether the terminal is as it was given.
func (e *emulator) restored() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.noWrap || e.hide || len(e.unknown) > 0 || e.pending != "" {
		return fmt.Errorf("wrapping off: %t, cursor hidden: %t, unknown: %q %q", e.noWrap, e.hide, e.unknown, e.pending)
	}
	return nil
}

func lines(text string) func(int, int) []line {
	return func(int, int) []line {
		var all []line
		for _, l := range strings.Split(text, "\n") {
			all = append(all, line{text: l})
		}
		return all
	}
}

func TestScreen(t *testing.T) {
	for _, height := range []int{24, 6} { // with six the terminal scrolls
		e := newEmulator(30, height)
		fmt.Fprint(e, "$ bottled\n")
		s := &screen{out: console{w: e}, size: func() (int, int) { return e.width, e.height }}
		long := strings.Repeat("x", 100)
		for _, frame := range []string{"one", "one\ntwo\nthree\nfour", long + "\nb\nc\nd", "b\nc"} {
			if err := s.draw(lines(frame)); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(frame, long, long[:30], 1) + "\n"
			if got := e.text(); got != want && got != "$ bottled\n"+want {
				t.Errorf("height %d: %q, want %q", height, got, want)
			}
			if err := e.restored(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestScreenIsResized(t *testing.T) {
	e := newEmulator(30, 10)
	s := &screen{out: console{w: e}, size: func() (int, int) { return e.width, e.height }}
	if err := s.draw(lines("one\ntwo\nthree")); err != nil {
		t.Fatal(err)
	}
	// Narrower, it has broken the lines that were there.
	e.width = 4
	e.rows, e.row = append([][]rune{[]rune("one"), []rune("two"), []rune("thre"), []rune("e")}, make([][]rune, 6)...), 4
	if err := s.draw(lines("four\nfive-")); err != nil {
		t.Fatal(err)
	}
	if got := e.text(); got != "four\nfive\n" {
		t.Errorf("%q", got)
	}
}

type closedFile struct{}

var errClosed = errors.New("closed")

func (closedFile) Write([]byte) (int, error) { return 0, errClosed }

func TestScreenFails(t *testing.T) {
	s := &screen{out: console{w: closedFile{}}, size: func() (int, int) { return 80, 24 }}
	if err := s.draw(lines("x")); !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
}

func TestProgressFits(t *testing.T) {
	e := newEmulator(40, 6)
	p := &progress{states: map[string]string{}, screen: &screen{out: console{w: e}, size: func() (int, int) { return e.width, e.height }}}
	for i := range 10 {
		p.event(execute.Progress{Slug: fmt.Sprintf("b%d", i)})
	}
	if got, want := e.text(), " 0 of 10 bottles done\n"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 5 {
		t.Errorf("%q", got)
	}
	for i := range 8 {
		p.event(execute.Progress{Slug: fmt.Sprintf("b%d", i), Done: true})
	}
	if got, want := e.text(), fmt.Sprintf(" 8 of 10 bottles done\n %-20s …\n %-20s …\n", "b8", "b9"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := e.restored(); err != nil {
		t.Error(err)
	}
}
