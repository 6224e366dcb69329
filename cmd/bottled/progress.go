package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
)

// progress shows a line a bottle while a pass runs.
type progress struct {
	mu     sync.Mutex
	slugs  []string
	states map[string]string
	screen *screen
}

// watch shows the reconciler's progress live on a terminal; elsewhere its steps are logged.
func (a *app) watch(r *pass.Reconciler) *progress {
	p := &progress{states: map[string]string{}, screen: newScreen(a.errs)}
	if a.errs.terminal && a.log.GetLevel() > zerolog.DebugLevel {
		r.Executor.OnProgress = p.event
	}
	return p
}

func (p *progress) event(e execute.Progress) {
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
	// What can't be drawn is no reason to fail: the outcome is printed at the end.
	_ = p.screen.draw(p.lines)
}

// lines are the bottles; of more than the terminal has lines, the ones at work.
func (p *progress) lines(height, _ int) []line {
	var all, busy []line
	done := 0
	for _, slug := range p.slugs {
		l := line{text: fmt.Sprintf(" %-20s %s", slug, p.states[slug])}
		all = append(all, l)
		if strings.HasPrefix(p.states[slug], "done") {
			done++
		} else {
			busy = append(busy, l)
		}
	}
	if len(all) <= height {
		return all
	}
	return append([]line{{text: fmt.Sprintf(" %d of %d bottles done", done, len(all))}}, busy[:min(len(busy), height-1)]...)
}

// end leaves the lines where they are; results follow below them.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen.drawn > 0 {
		_ = p.screen.out.data([]byte("\n")) // as in event
	}
}
