package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// watchStatus shows the status and its changes until ctx ends.
func (a *app) watchStatus(ctx context.Context, from *lookout, slugs []string, format output) error {
	if format.format != "table" || !a.out.terminal {
		f := &feed{out: a.out, format: format, slugs: slugs, warn: func(err error) { a.log.Warn().Err(err).Msg("status") }}
		return from.follow(ctx, f.show, f.trouble)
	}
	d := &display{screen: newScreen(a.out), slugs: slugs}
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	group.Go(func() error { return d.refresh(ctx) })
	group.Go(func() error {
		defer done()
		return from.follow(ctx, d.show, d.trouble)
	})
	return group.Wait()
}

// feed prints the status again after every change.
type feed struct {
	out    console
	format output
	slugs  []string
	warn   func(error)
	last   []byte // status, as JSON
	warned string
}

func (f *feed) show(live reconciler.Status) error {
	f.warned = ""
	var missing error
	live.Bottles, missing = choose(live.Bottles, f.slugs)
	if live.Bottles == nil {
		live.Bottles = []reconciler.BottleStatus{}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(live); err != nil || bytes.Equal(printable.JSON(text.Bytes()), f.last) {
		return err
	}
	first := f.last == nil
	f.last = printable.JSON(text.Bytes())
	return f.print(live, missing, first)
}

func (f *feed) print(live reconciler.Status, missing error, first bool) error {
	var before string
	switch {
	case f.format.format == "json":
		return f.out.data(f.last)
	case f.format.format == "yaml":
		before = "---\n"
	case !first:
		before = "\n"
	}
	if err := f.out.data([]byte(before)); err != nil {
		return err
	}
	if err := f.format.live(f.out, live); err != nil || missing == nil || f.format.format != "table" {
		return err
	}
	return f.out.block(missing.Error())
}

// trouble warns of it once.
func (f *feed) trouble(err error) {
	if f.warned != err.Error() {
		f.warned = err.Error()
		f.warn(err)
	}
}

// display keeps the status on a terminal up to date.
type display struct {
	screen *screen
	slugs  []string

	mu   sync.Mutex
	live *reconciler.Status // nil until it is known
	more []line             // above the status
}

func (d *display) show(live reconciler.Status) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing error
	live.Bottles, missing = choose(live.Bottles, d.slugs)
	d.live, d.more = &live, nil
	if missing != nil {
		d.more = []line{{text: oneLine(missing), bad: true, wrap: true}}
	}
	return d.draw()
}

// trouble stays above what was known last until something new is known.
func (d *display) trouble(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.more = []line{{text: fmt.Sprintf("not up to date: %s", oneLine(err)), bad: true, wrap: true}}
}

// refresh draws every second: times go on, terminals are resized.
func (d *display) refresh(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		d.mu.Lock()
		err := d.draw()
		d.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (d *display) draw() error {
	if d.live == nil {
		return nil
	}
	return d.screen.draw(func(height, width int) []line { return fit(*d.live, d.more, time.Now(), height, width) })
}

// oneLine is an error's text, which may be of several, on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
