package screen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// TestHostile has an agent's words wherever some are shown: they steer no terminal, break no line, and pass for nothing of bottled's.
func TestHostile(t *testing.T) {
	for _, words := range append(terminaltest.HostileTexts, "界界界界界界界界界界界界界界界界界界界界界界", strings.Repeat("e\u0301", 300), "| bottled: all valid\x1b[31m") {
		s := opened(t, 60, 30)
		p := hostProposal()
		p.Summary, p.Justification, p.Message = words, words, words
		u := sample()
		u.Proposals.Proposals = []reconciler.Proposal{p}
		u.Status.Bottles[7].Message, u.Status.Bottles[7].Warnings = words, []string{words}
		u.Status.Bottles[7].Components[3].Cause = words
		u.Bottle, u.Events = "web", []reconciler.Event{{Reason: "Failed", Message: words}}
		u.Lines = []service.LogLine{logged(state.Agent, 0, words), logged(state.Pipelock, 0, words)}
		u.Stale = words
		s.backend.description.Lines = []report.Line{{Text: words}}
		s.backend.description.Denied = []service.Observed{{Reason: words, Entry: words}}
		s.backend.traffic.Hosts = []reconciler.HostTraffic{{Host: words, Denied: 1, Port: 443, Codes: map[string]uint64{words: 1}}}
		s.backend.traffic.Routes = []reconciler.RouteTraffic{{Route: words, Upstream: words, Statuses: map[string]uint64{words: 1}}}
		s.backend.review = reconciler.Review{Proposal: p, Payload: words, Diff: "+" + words, File: words, Plan: []string{words}, Warnings: []string{words}, Dangers: []string{words}}
		s.backend.review.Refused = []reconciler.RefusedRequest{{Request: words, Reason: words, Component: words}}
		s.send(u)
		for _, keys := range []string{"1", "2", "3", "w", "4", "a", "esc 5", "esc", "g enter", "a", "Y", "esc", "e", "esc"} {
			s.press(keys)
			assertReadable(t, keys, s)
		}
		s.send(done{err: errors.New(words)})
		assertReadable(t, "an error", s)
	}
}

// assertReadable fails for a frame in which anything but the theme's looks steers the terminal.
func assertReadable(t *testing.T, what string, s *screen) {
	t.Helper()
	s.frame()
	for l := range strings.SplitSeq(s.View().Content, "\n") {
		terminaltest.AssertReadable(t, what, looks.ReplaceAllString(l, ""))
	}
}

// looks are the sequences of the theme.
var looks = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// many are bottles, each in one of the ways that a bottle can be.
func many(n int) *reconciler.Status {
	status := *sample().Status
	kinds := status.Bottles
	status.Bottles = nil
	for i := range n {
		b := kinds[i%len(kinds)]
		b.Slug = fmt.Sprintf("bottle-%03d", i)
		status.Bottles = append(status.Bottles, b)
	}
	return &status
}

// TestManyBottles has what needs attention first and the rest folded, and goes through all 200 of them.
func TestManyBottles(t *testing.T) {
	s := newScreen(t, 100, 30)
	s.send(Update{Status: many(200)})
	s.shows("200 bottles")
	s.press("G")
	s.shows("… 75 more bottles")
	s.press("f G")
	seen := map[string]bool{}
	for range 200 {
		s.frame()
		seen[s.fleet.selected] = true
		s.press("k")
	}
	if len(seen) != 200 {
		t.Errorf("%d bottles can be selected", len(seen))
	}
	began := time.Now()
	const frames = 50
	for range frames {
		s.send(Update{Status: many(200)})
		s.frame()
	}
	t.Logf("a change of 200 bottles is drawn in %s", (time.Since(began) / frames).Round(10*time.Microsecond))
}

// TestSizes draws every view at every size that somebody may drag a terminal to.
func TestSizes(t *testing.T) {
	for _, keys := range []string{"", "?", "/", "tab X", "enter", "tab enter", "tab enter 3", "tab enter 4 a"} {
		s := newScreen(t, 100, 30)
		s.backend.review, s.backend.description, s.backend.traffic = hostReview(), webDescription(), webTraffic()
		s.send(sample())
		s.press(keys)
		for width := range 302 {
			for _, height := range []int{0, 1, 11, 12, 13, 25, 100} {
				s.send(tea.WindowSizeMsg{Width: width, Height: height})
				s.frame()
			}
		}
		crowded := sample()
		crowded.Status.Controller.Engine, crowded.Stale = reconciler.EngineStatus{Error: strings.Repeat("gone ", 100)}, strings.Repeat("stale ", 100)
		crowded.Status.Controller.Problems = []string{"one", "two", "three"}
		s.send(tea.WindowSizeMsg{Width: 60, Height: 12})
		s.send(crowded)
		s.frame()
		s.choose([]line{text(bad, strings.Repeat("danger ", 200))}, nil, nil)
		s.frame()
		s.dialog = nil
		s.send(notice{strings.Repeat("news ", 200), true})
		s.frame()
		s.send(tea.WindowSizeMsg{Width: 59, Height: 12})
		s.shows("bottled top needs 60×12 cells; here are 59×12")
		s.press("y enter")
		s.backend.asked = nil
		s.press("q")
		s.did("quit")
	}
}

// TestNoTone: what a colour says is said by a sign, too.
func TestNoTone(t *testing.T) {
	marks := map[string]bool{}
	for _, tone := range []overview.Tone{overview.Good, overview.Busy, overview.Warning, overview.Bad, overview.Idle} {
		marks[toneMark(tone)] = true
	}
	if len(marks) != 5 || marks[""] {
		t.Errorf("%v", marks)
	}
}

// streaming is a backend with a status of 200 bottles that changes, and then an end.
type streaming struct {
	*fake
	changes int
	pause   time.Duration
	err     error
}

func (b *streaming) FollowStatus(ctx context.Context, show func(reconciler.Status) error, _ func(error)) error {
	for i := range b.changes {
		status := *many(200)
		status.Bottles[2].Message = fmt.Sprintf("change %d", i)
		if i == b.changes-1 {
			status.Bottles[2].Message = "finished"
		}
		if err := show(status); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(b.pause):
		}
	}
	return b.err
}

// TestLoad has 200 bottles change 50 times a second: what is drawn is bounded, and the last change is among it.
func TestLoad(t *testing.T) {
	const changes, pause = 100, 20 * time.Millisecond
	began, used := time.Now(), processorTime(t)
	out := runUntil(t, &streaming{fake: &fake{}, changes: changes, pause: pause}, "finished")
	took := time.Since(began)
	most := int(took/redrawInterval) + 2
	t.Logf("%d changes in %s: %d writes, %.0f %% of a processor, with making the changes", changes, took.Round(time.Millisecond), out.writes, 100*float64(processorTime(t)-used)/float64(took))
	if out.writes > 2*most+10 {
		t.Errorf("%d writes to the terminal, want about %d", out.writes, most)
	}
}

// processorTime is how much of a processor this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestEnds: the screen ends with the reason why nothing could be read.
func TestEnds(t *testing.T) {
	gone := errors.New("the engine does not answer")
	in, keys := io.Pipe()
	defer keys.Close()
	err := Run(t.Context(), &streaming{fake: &fake{}, err: gone}, in, io.Discard, tea.WithWindowSize(100, 30), tea.WithoutSignals())
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// output is a terminal's output. It ends the program when it has shown a text.
type output struct {
	mu     sync.Mutex
	bytes  bytes.Buffer
	writes int
	until  string
	found  chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes.Write(p)
	o.writes++
	if o.found != nil && strings.Contains(o.bytes.String(), o.until) {
		close(o.found)
		o.found = nil
	}
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes.String()
}

// runUntil runs the screen on a terminal of 100 by 30 until it has shown a text, and returns what it wrote.
func runUntil(t *testing.T, backend Backend, text string, environment ...string) *output {
	t.Helper()
	in, keys := io.Pipe()
	found := make(chan struct{})
	out := &output{until: text, found: found}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		select {
		case <-found:
			_, _ = keys.Write([]byte("q"))
		case <-ctx.Done():
		}
	}()
	err := Run(ctx, backend, in, out, tea.WithWindowSize(100, 30), tea.WithEnvironment(append([]string{"TERM=xterm-256color", "COLORTERM=truecolor", "TTY_FORCE=1"}, environment...)), tea.WithoutSignals())
	if err != nil || ctx.Err() != nil {
		t.Errorf("%q is not shown: %v", text, err)
	}
	return out
}

// TestColours: there are some, and none with NO_COLOR.
func TestColours(t *testing.T) {
	if got := runUntil(t, &streaming{fake: &fake{}, changes: 1}, "200 bottles").text(); !strings.Contains(got, "38;2;") {
		t.Errorf("no colour in %q", got)
	}
	got := runUntil(t, &streaming{fake: &fake{}, changes: 1}, "200 bottles", "NO_COLOR=1").text()
	if strings.Contains(got, "38;") {
		t.Errorf("a colour in %q", got)
	}
}
