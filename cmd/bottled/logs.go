package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/printable"
)

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	var since string
	tail := -1
	cmd := &cobra.Command{
		Use:   "logs [-f] [--tail N] [--since D] SLUG[/PART]",
		Short: "Show what the parts of a bottle, or one of them, have logged",
		Long: `Show what the parts of a bottle, or one of them, have logged, in the order of time; of several parts, each line with the
part's name. With -f it goes on, also with the containers that take the place of these, until it is interrupted.

On a terminal, characters that could steer it are replaced. Elsewhere what was logged is passed on unchanged.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			from, err := parseSince(since, time.Now())
			if err != nil {
				return exitError{exitBadInput, err}
			}
			return a.logs(cmd.Context(), of, follow, engine.LogOptions{Since: from, Tail: tail})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on")
	cmd.Flags().IntVar(&tail, "tail", tail, "at most so many last `lines` of each part (default: all)")
	cmd.Flags().StringVar(&since, "since", "", "only what was logged within a `duration` (10m), or since a time (RFC 3339)")
	return cmd
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d.Abs()), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--since %q: give a duration like 10m, or a time like %s", text, now.Format(time.RFC3339))
	}
	return at, nil
}

func (a *app) logs(ctx context.Context, of target, follow bool, o engine.LogOptions) (err error) {
	engine, err := docker.Connect(ctx, state.Settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	l := &logReader{
		engine: engine, owner: a.settings.Owner, of: of, last: map[string]time.Time{}, following: map[string]bool{},
		show: logPrinter(a.out, of.part == ""),
		warn: func(err error) { a.log.Warn().Err(err).Msg("logs") },
	}
	began := time.Now()
	containers, err := l.containers(ctx)
	if err == nil && len(containers) == 0 {
		err = fmt.Errorf("bottle %s of owner %q has no %s", of.slug, l.owner, cmp.Or(string(of.part), "containers"))
	}
	if err == nil {
		err = l.backlog(ctx, containers, o)
	}
	if err == nil && follow {
		for _, c := range containers {
			if _, said := l.last[c.ID]; !said {
				l.last[c.ID] = began // nothing before that is asked for
			}
		}
		err = l.follow(ctx)
	}
	if ctx.Err() != nil && follow {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// logReader reads the logs of a bottle's parts.
type logReader struct {
	engine interface {
		engine.Engine
		engine.SessionRuntime
	}
	owner string
	of    target
	show  func(state.ComponentName, engine.LogLine) error
	warn  func(error)

	mu        sync.Mutex
	last      map[string]time.Time // by container ID: of the last line shown, or when the first may come
	following map[string]bool      // by container ID
}

// containers are those of the parts, in their order. Sessions have no log.
func (l *logReader) containers(ctx context.Context) ([]engine.Summary, error) {
	all, err := l.engine.Containers(ctx, l.owner, l.of.slug)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c engine.Summary) bool {
		return !kinds.All.Has(c.Component()) || l.of.part != "" && l.of.part != c.Component()
	})
	slices.SortStableFunc(all, func(a, b engine.Summary) int { return kinds.All.Compare(a.Component(), b.Component()) })
	return all, nil
}

// backlog shows what is in the logs now, merged by time.
func (l *logReader) backlog(ctx context.Context, containers []engine.Summary, o engine.LogOptions) error {
	group, ctx := errgroup.WithContext(ctx)
	streams := make([]chan engine.LogLine, len(containers))
	for i, c := range containers {
		streams[i] = make(chan engine.LogLine)
		group.Go(func() error {
			defer close(streams[i])
			return l.read(ctx, c, o, func(line engine.LogLine) error {
				line.Text = slices.Clone(line.Text)
				select {
				case streams[i] <- line:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	group.Go(func() error { return l.merge(containers, streams) })
	return group.Wait()
}

// merge shows the earliest of the next lines until no stream has any.
func (l *logReader) merge(containers []engine.Summary, streams []chan engine.LogLine) error {
	next := make([]*engine.LogLine, len(streams))
	for {
		first := -1
		for i := range streams {
			if next[i] == nil {
				if line, ok := <-streams[i]; ok {
					next[i] = &line
				}
			}
			if next[i] != nil && (first < 0 || next[i].At.Before(next[first].At)) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		if err := l.tell(containers[first], *next[first]); err != nil {
			return err
		}
		next[first] = nil
	}
}

// read reads the log of a container, which may be gone, or be going, meanwhile.
func (l *logReader) read(ctx context.Context, c engine.Summary, o engine.LogOptions, tell func(engine.LogLine) error) error {
	err := l.engine.StreamLogs(ctx, c.ID, o, tell)
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func (l *logReader) tell(c engine.Summary, line engine.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line.At.After(l.last[c.ID]) { // stdout and stderr may overtake each other
		l.last[c.ID] = line.At
	}
	return l.show(c.Component(), line)
}

// logPause is the least time between two looks for containers to follow.
const logPause = 200 * time.Millisecond

// follow shows what the parts log from now on, whichever containers they run in, until ctx ends. Lines come as they come.
func (l *logReader) follow(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	wake := make(chan struct{}, 1)
	look := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	since := time.Now()
	group.Go(func() error { l.hear(ctx, since, look); return nil })
	group.Go(func() error {
		for {
			containers, err := l.containers(ctx)
			if err != nil && ctx.Err() == nil {
				l.warn(err) // hear wakes when the engine is back
			}
			for _, c := range l.unfollowed(containers) {
				group.Go(func() error { return l.followOne(ctx, c, look) })
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(logPause):
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-wake:
			}
		}
	})
	return group.Wait()
}

// hear calls look when a container of the bottle starts, and when that may have been missed.
func (l *logReader) hear(ctx context.Context, since time.Time, look func()) {
	for ctx.Err() == nil {
		_ = l.engine.Events(ctx, since, func(e engine.Event) { // an engine that is gone is told by the look
			if e.Kind == engine.EventStarted && e.Owner == l.owner && e.Slug == l.of.slug {
				look()
			}
		})
		since = time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		look()
	}
}

// unfollowed are the containers that say something nobody follows, or never were followed. They count as followed then.
func (l *logReader) unfollowed(containers []engine.Summary) []engine.Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []engine.Summary
	for _, c := range containers {
		_, known := l.last[c.ID]
		if l.following[c.ID] || known && c.State != engine.StateRunning && c.State != engine.StatePaused {
			continue
		}
		if !known {
			l.last[c.ID] = time.Time{} // a new one: all that it says
		}
		l.following[c.ID] = true
		found = append(found, c)
	}
	return found
}

// followOne follows a container until it ends. It may be started again, or another one in its place.
func (l *logReader) followOne(ctx context.Context, c engine.Summary, look func()) error {
	defer look()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.following, c.ID)
	}()
	l.mu.Lock()
	o := engine.LogOptions{Since: l.last[c.ID], Tail: -1, Follow: true}
	l.mu.Unlock()
	if !o.Since.IsZero() {
		o.Since = o.Since.Add(time.Nanosecond)
	}
	err := l.read(ctx, c, o, func(line engine.LogLine) error { return l.tell(c, line) })
	if errors.Is(err, engine.ErrUnavailable) {
		return nil // the look tells, and goes on when the engine is back
	}
	return err
}

// logPrinter prints lines. named puts the part in front.
func logPrinter(c console, named bool) func(state.ComponentName, engine.LogLine) error {
	return func(part state.ComponentName, line engine.LogLine) error {
		text := line.Text
		if c.terminal {
			text = []byte(printable.Line(strings.ReplaceAll(string(bytes.TrimRight(text, "\r\n")), "\t", "    ")) + "\n")
		}
		if named {
			prefix := c.colour(kinds.All.Of(part).Colour, fmt.Sprintf("%-10s | ", part))
			text = append([]byte(prefix), append(bytes.TrimSuffix(text, []byte("\n")), '\n')...)
		}
		return c.data(text)
	}
}
