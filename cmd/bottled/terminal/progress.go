package terminal

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

// Progress shows one line for each bottle while a pass runs.
type Progress struct {
	mu     sync.Mutex
	slugs  []string
	states map[string]string
	screen *Screen
}

// NewProgress is a display on a screen, which is empty until the first event.
func NewProgress(s *Screen) *Progress {
	return &Progress{states: map[string]string{}, screen: s}
}

// Event shows what the executor did. It may be called from many goroutines.
func (p *Progress) Event(e execute.Progress) {
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
	_ = p.screen.Draw(p.lines)
}

// lines are the bottles, or where the terminal has too few lines, those that are not done.
func (p *Progress) lines(height, _ int) []report.Line {
	var all, busy []report.Line
	done := 0
	for _, slug := range p.slugs {
		l := report.Line{Text: fmt.Sprintf(" %-20s %s", slug, p.states[slug])}
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
	return append([]report.Line{{Text: fmt.Sprintf(" %d of %d bottles done", done, len(all))}}, busy[:min(len(busy), height-1)]...)
}

// End leaves the lines where they are; results follow below them.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen.drawn > 0 {
		_ = p.screen.out.Data([]byte("\n")) // as in Event
	}
}
