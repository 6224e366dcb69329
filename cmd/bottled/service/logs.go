package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

// LogsOptions select log lines.
type LogsOptions struct {
	Of       []Target
	Follow   bool
	Previous bool      // of earlier runs, instead of the present ones
	Since    time.Time // zero: all
	Tail     int       // the last lines of each component; negative: all
}

// LogLine is a line that a component logged.
type LogLine struct {
	Target
	engine.LogLine
	// Decision replaces the text for a container that is gone: its record in the audit log.
	Decision *audit.Record
}

// Logs calls show with what components have logged. What is there already comes in the order of time. It ends without an error when
// ctx ends while it follows.
func (s *Service) Logs(ctx context.Context, o LogsOptions, show func(LogLine) error) (err error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return err
	}
	e, err := s.connect(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	l := &logReader{
		engine: e, settings: settings, of: o.Of, last: map[string]time.Time{}, following: map[string]bool{},
		show: show,
		warn: func(err error) { s.Log.Warn().Err(err).Msg("logs") },
	}
	began := time.Now()
	containers, err := l.containers(ctx)
	if err != nil {
		return err
	}
	if o.Previous {
		return l.previous(ctx, containers, o.Since)
	}
	if err := l.missing(ctx, containers); err != nil {
		return err
	}
	err = l.backlog(ctx, containers, engine.LogOptions{Since: o.Since, Tail: o.Tail})
	if err == nil && o.Follow {
		for _, c := range containers {
			if _, seen := l.last[c.ID]; !seen {
				l.last[c.ID] = began // nothing before that is asked for
			}
		}
		err = l.follow(ctx)
	}
	if ctx.Err() != nil && o.Follow {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// logReader reads the logs of components.
type logReader struct {
	engine   engine.Engine
	settings state.Settings
	of       []Target
	show     func(LogLine) error
	warn     func(error)

	showing   sync.Mutex
	mu        sync.Mutex
	last      map[string]time.Time // by container ID: of the last line shown, or when the first may come
	following map[string]bool      // by container ID
}

// containers are the components', in their order. Sessions have no log.
func (l *logReader) containers(ctx context.Context) ([]engine.Summary, error) {
	var all []engine.Summary
	for _, bottle := range l.bottles() {
		of, err := l.engine.Containers(ctx, l.settings.Owner, bottle)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	all = slices.DeleteFunc(all, func(c engine.Summary) bool { return !l.wants(targetOf(c)) })
	slices.SortStableFunc(all, func(a, b engine.Summary) int {
		return cmp.Or(kinds.All.Compare(a.Component(), b.Component()), cmp.Compare(a.Slug(), b.Slug()))
	})
	return all, nil
}

func targetOf(c engine.Summary) Target { return Target{Bottle: c.Slug(), Component: c.Component()} }

// bottles are those that something is wanted of, each once.
func (l *logReader) bottles() []string {
	var names []string
	for _, t := range l.of {
		names = append(names, t.Bottle)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (l *logReader) wants(c Target) bool {
	return kinds.All.Has(c.Component) && slices.ContainsFunc(l.of, func(t Target) bool {
		return t.Bottle == c.Bottle && (t.Component == "" || t.Component == c.Component)
	})
}

// missing is an error for each target that has no container.
func (l *logReader) missing(ctx context.Context, containers []engine.Summary) error {
	var failed []error
	for _, t := range l.of {
		if !slices.ContainsFunc(containers, func(c engine.Summary) bool {
			return c.Slug() == t.Bottle && (t.Component == "" || t.Component == c.Component())
		}) {
			failed = append(failed, missing(ctx, l.engine, l.settings.Owner, t))
		}
	}
	return errors.Join(failed...)
}

// backlog shows what is in the logs already, merged by time.
func (l *logReader) backlog(ctx context.Context, containers []engine.Summary, o engine.LogOptions) error {
	var sources []logSource
	for _, c := range containers {
		sources = append(sources, func(ctx context.Context, send func(LogLine) error) error {
			return l.read(ctx, c, o, func(line engine.LogLine) error {
				line.Text = slices.Clone(line.Text)
				l.seen(c, line)
				return send(LogLine{Target: targetOf(c), LogLine: line})
			})
		})
	}
	return l.mergeAll(ctx, sources)
}

// logSource sends lines in the order of time.
type logSource func(ctx context.Context, send func(LogLine) error) error

// mergeAll shows what all sources send in the order of time.
func (l *logReader) mergeAll(ctx context.Context, sources []logSource) error {
	group, ctx := errgroup.WithContext(ctx)
	streams := make([]chan LogLine, len(sources))
	for i, source := range sources {
		streams[i] = make(chan LogLine)
		group.Go(func() error {
			defer close(streams[i])
			return source(ctx, func(line LogLine) error {
				select {
				case streams[i] <- line:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	group.Go(func() error { return l.merge(streams) })
	return group.Wait()
}

// merge shows the earliest of the next lines until no stream has any.
func (l *logReader) merge(streams []chan LogLine) error {
	next := make([]*LogLine, len(streams))
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
		if err := l.show(*next[first]); err != nil {
			return err
		}
		next[first] = nil
	}
}

// read reads the log of a container, which may be gone, or be going, meanwhile.
func (l *logReader) read(ctx context.Context, c engine.Summary, o engine.LogOptions, handle func(engine.LogLine) error) error {
	err := l.engine.StreamLogs(ctx, c.ID, o, handle)
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// seen notes how far a container's log was read.
func (l *logReader) seen(c engine.Summary, line engine.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line.At.After(l.last[c.ID]) { // stdout and stderr may overtake each other
		l.last[c.ID] = line.At
	}
}
