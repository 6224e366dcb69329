package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// watch shows the status and its changes until ctx ends.
func watch(ctx context.Context, opts *Options, source Source) error {
	if opts.Output != "table" || !opts.Out.IsTerminal() {
		f := &feed{out: opts.Out, output: opts.Output, chosen: opts.Selection, warn: func(err error) { opts.Log.Warn().Err(err).Msg("status") }}
		return source.Follow(ctx, f.show, f.trouble)
	}
	d := &display{screen: terminal.NewScreen(opts.Out), chosen: opts.Selection}
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	group.Go(func() error { return terminal.Refresh(ctx, &d.mu, d.draw) })
	group.Go(func() error {
		defer done()
		return source.Follow(ctx, d.show, d.trouble)
	})
	return group.Wait()
}

// feed prints the status again after every change.
type feed struct {
	out    terminal.Console
	output command.Output
	chosen command.Selection
	warn   func(error)
	last   []byte // status, as JSON
	warned string
}

func (f *feed) show(status reconciler.Status) error {
	f.warned = ""
	var missing error
	status.Bottles, missing = f.chosen.Of(status)
	if status.Bottles == nil {
		status.Bottles = []reconciler.BottleStatus{}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(status); err != nil || bytes.Equal(printable.JSON(text.Bytes()), f.last) {
		return err
	}
	first := f.last == nil
	f.last = printable.JSON(text.Bytes())
	return f.print(status, missing, first)
}

func (f *feed) print(status reconciler.Status, missing error, first bool) error {
	var before string
	switch {
	case f.output == "json":
		return f.out.Data(f.last)
	case f.output == "yaml":
		before = "---\n"
	case !first:
		before = "\n"
	}
	if err := f.out.Data([]byte(before)); err != nil {
		return err
	}
	if err := f.output.Status(f.out, status); err != nil || missing == nil || f.output != "table" {
		return err
	}
	return f.out.Block(missing.Error())
}

// trouble logs an error once.
func (f *feed) trouble(err error) {
	if f.warned != err.Error() {
		f.warned = err.Error()
		f.warn(err)
	}
}

// display keeps the status on a terminal up to date.
type display struct {
	screen *terminal.Screen
	chosen command.Selection

	mu     sync.Mutex
	status *reconciler.Status // nil until it is known
	header []report.Line      // above the status
}

func (d *display) show(status reconciler.Status) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing error
	status.Bottles, missing = d.chosen.Of(status)
	d.status, d.header = &status, nil
	if missing != nil {
		d.header = []report.Line{{Text: report.OneLine(missing), Bad: true, Wrap: true}}
	}
	return d.draw()
}

// trouble shows an error above the last known status, until the next one.
func (d *display) trouble(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.header = []report.Line{{Text: fmt.Sprintf("not up to date: %s", report.OneLine(err)), Bad: true, Wrap: true}}
}

func (d *display) draw() error {
	if d.status == nil {
		return nil
	}
	return d.screen.Draw(func(height, width int) []report.Line {
		return report.Fit(*d.status, d.header, time.Now(), height, width)
	})
}
