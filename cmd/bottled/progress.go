package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/bot-bottle/bottled/reconciler"
)

// progress shows a line a bottle while a pass runs.
type progress struct {
	mu     sync.Mutex
	slugs  []string
	states map[string]string
	drawn  int
}

// watch shows the reconciler's progress live on a terminal; elsewhere its steps are logged.
func (a *app) watch(r *reconciler.Reconciler) *progress {
	p := &progress{states: map[string]string{}}
	if isTerminal(os.Stderr) && a.log.GetLevel() > zerolog.DebugLevel {
		r.Executor.Report = p.event
	}
	return p
}

func (p *progress) event(e reconciler.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.states[e.Slug]; !known {
		i, _ := slices.BinarySearch(p.slugs, e.Slug)
		p.slugs = slices.Insert(p.slugs, i, e.Slug)
	}
	switch {
	case e.Step != nil && !e.Done:
		p.states[e.Slug] = fmt.Sprintf("%s %s", e.Step.Action, e.Step.Object)
	case e.Step != nil:
		return
	case e.Done && e.Err != nil:
		p.states[e.Slug] = "failed"
	case e.Done:
		p.states[e.Slug] = fmt.Sprintf("done in %s", e.Took.Round(time.Millisecond))
	default:
		p.states[e.Slug] = "…"
	}
	p.draw()
}

// draw writes the lines over the ones it drew before; with more bottles than the terminal has lines, the ones at work.
func (p *progress) draw() {
	width, height, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width < 20 || height < 3 {
		width, height = 80, 24
	}
	lines := p.lines(height-1, width-1)
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, l := range lines {
		b.WriteString("\x1b[2K" + l + "\n")
	}
	b.WriteString("\x1b[J")
	p.drawn = len(lines)
	fmt.Fprint(os.Stderr, b.String())
}

func (p *progress) lines(height, width int) []string {
	var all, busy []string
	done := 0
	for _, slug := range p.slugs {
		line := fmt.Sprintf(" %-20s %s", slug, p.states[slug])
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		all = append(all, line)
		if strings.HasPrefix(p.states[slug], "done") {
			done++
		} else {
			busy = append(busy, line)
		}
	}
	if len(all) <= height {
		return all
	}
	return append([]string{fmt.Sprintf(" %d of %d bottles done", done, len(all))}, busy[:min(len(busy), height-1)]...)
}

// end leaves the lines where they are; results follow below them.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn > 0 {
		fmt.Fprintln(os.Stderr)
	}
}
