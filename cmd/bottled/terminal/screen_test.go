package terminal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

func lines(text string) func(int, int) []report.Line {
	return func(int, int) []report.Line {
		var all []report.Line
		for _, l := range strings.Split(text, "\n") {
			all = append(all, report.Line{Text: l})
		}
		return all
	}
}

func TestScreen(t *testing.T) {
	for _, height := range []int{24, 6} { // with six the terminal scrolls
		e := terminaltest.New(30, height)
		fmt.Fprint(e, "$ bottled\n")
		s := terminal.NewScreenOfSize(terminal.OnWriter(e, true, false), e.Size)
		long := strings.Repeat("x", 100)
		for _, frame := range []string{"one", "one\ntwo\nthree\nfour", long + "\nb\nc\nd", "b\nc"} {
			if err := s.Draw(lines(frame)); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(frame, long, long[:30], 1) + "\n"
			if got := e.Text(); got != want && got != "$ bottled\n"+want {
				t.Errorf("height %d: %q, want %q", height, got, want)
			}
			if err := e.Restored(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestScreenIsResized(t *testing.T) {
	e := terminaltest.New(30, 10)
	s := terminal.NewScreenOfSize(terminal.OnWriter(e, true, false), e.Size)
	if err := s.Draw(lines("one\ntwo\nthree")); err != nil {
		t.Fatal(err)
	}
	// Narrower, it has broken the lines that were there.
	e.Resize(4, "one", "two", "thre", "e")
	if err := s.Draw(lines("four\nfive-")); err != nil {
		t.Fatal(err)
	}
	if got := e.Text(); got != "four\nfive\n" {
		t.Errorf("%q", got)
	}
}

type closedFile struct{}

var errClosed = errors.New("closed")

func (closedFile) Write([]byte) (int, error) { return 0, errClosed }

func TestScreenFails(t *testing.T) {
	s := terminal.NewScreenOfSize(terminal.OnWriter(closedFile{}, true, false), func() (int, int) { return 80, 24 })
	if err := s.Draw(lines("x")); !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
}

func TestProgressFits(t *testing.T) {
	e := terminaltest.New(40, 6)
	p := terminal.NewProgress(terminal.NewScreenOfSize(terminal.OnWriter(e, true, false), e.Size))
	for i := range 10 {
		p.Event(execute.Progress{Slug: fmt.Sprintf("b%d", i)})
	}
	if got, want := e.Text(), " 0 of 10 bottles done\n"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 5 {
		t.Errorf("%q", got)
	}
	for i := range 8 {
		p.Event(execute.Progress{Slug: fmt.Sprintf("b%d", i), Done: true})
	}
	if got, want := e.Text(), fmt.Sprintf(" 8 of 10 bottles done\n %-20s …\n %-20s …\n", "b8", "b9"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := e.Restored(); err != nil {
		t.Error(err)
	}
}
