package proposals

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

// watch shows the proposals and their changes until ctx ends.
func watch(ctx context.Context, opts *Options) error {
	if opts.Output != "table" || !opts.Out.IsTerminal() {
		f := &feed{Options: opts}
		return opts.Follow(ctx, f.show, func(err error) { opts.Log.Warn().Err(err).Msg("proposals") })
	}
	d := &display{Options: opts, screen: terminal.NewScreen(opts.Out)}
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	group.Go(func() error { return terminal.Refresh(ctx, &d.mu, d.draw) })
	group.Go(func() error {
		defer done()
		return opts.Follow(ctx, d.show, d.trouble)
	})
	return group.Wait()
}

// feed prints the proposals again after every change.
type feed struct {
	*Options
	shown bool
}

func (f *feed) show(all service.Proposals) error {
	first := !f.shown
	f.shown = true
	switch {
	case f.Output == "json":
		all.Proposals = f.selected(all)
		return command.JSONLine(f.Out, all)
	case f.Output == "yaml":
		if err := f.Out.Data([]byte("---\n")); err != nil {
			return err
		}
	case !first:
		if err := f.Out.Data([]byte("\n")); err != nil {
			return err
		}
	}
	return f.print(all)
}

// display keeps the table on a terminal up to date.
type display struct {
	*Options
	screen *terminal.Screen

	mu    sync.Mutex
	all   *service.Proposals // nil until they are known
	known map[string]bool    // IDs that were shown
	stale string             // why the table is not up to date; "" when it is
}

func (d *display) show(all service.Proposals) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ring := map[string]bool{}, false
	for _, p := range d.selected(all) {
		known[p.ID] = true
		ring = ring || d.known != nil && !d.known[p.ID] && p.State == reconciler.ProposalWaiting
	}
	d.all, d.known, d.stale = &all, known, ""
	if err := d.draw(); err != nil || !ring {
		return err
	}
	return d.Out.Data([]byte("\a"))
}

// trouble shows an error above the last known table, until the next one.
func (d *display) trouble(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stale = report.OneLine(err)
}

// draw shows the last lines where there is no room for all: the newest proposals.
func (d *display) draw() error {
	if d.all == nil {
		return nil
	}
	return d.screen.Draw(func(height, _ int) []report.Line {
		lines := d.lines(*d.all, time.Now())
		if d.stale != "" {
			lines = append([]report.Line{{Text: "not up to date: " + d.stale, Bad: true}}, lines...)
		}
		if len(lines) > height {
			hidden := len(lines) - height + 1
			lines = append([]report.Line{{Text: "… " + report.Count(hidden, "line") + " above"}}, lines[hidden:]...)
		}
		return lines
	})
}
