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
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

// LogsOptions select log lines.
type LogsOptions struct {
	Target
	Follow bool
	Since  time.Time // zero: all
	Tail   int       // the last lines of each component; negative: all
}

// Logs calls show with what the components of a bottle, or one of them, have logged. What is there already comes in the order of
// time. It ends without an error when ctx ends while it follows.
func (s *Service) Logs(ctx context.Context, o LogsOptions, show func(state.ComponentName, engine.LogLine) error) (err error) {
	e, err := s.connect(ctx, state.Settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	l := &logReader{
		engine: e, owner: s.Settings.Owner, of: o.Target, last: map[string]time.Time{}, following: map[string]bool{},
		show: show,
		warn: func(err error) { s.Log.Warn().Err(err).Msg("logs") },
	}
	began := time.Now()
	containers, err := l.containers(ctx)
	if err == nil && len(containers) == 0 {
		err = fmt.Errorf("bottle %s of owner %q has no %s", o.Bottle, l.owner, cmp.Or(string(o.Component), "containers"))
	}
	if err == nil {
		err = l.backlog(ctx, containers, engine.LogOptions{Since: o.Since, Tail: o.Tail})
	}
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

// logReader reads the logs of a bottle's components.
type logReader struct {
	engine engine.Engine
	owner  string
	of     Target
	show   func(state.ComponentName, engine.LogLine) error
	warn   func(error)

	mu        sync.Mutex
	last      map[string]time.Time // by container ID: of the last line shown, or when the first may come
	following map[string]bool      // by container ID
}

// containers are the components', in their order. Sessions have no log.
func (l *logReader) containers(ctx context.Context) ([]engine.Summary, error) {
	all, err := l.engine.Containers(ctx, l.owner, l.of.Bottle)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c engine.Summary) bool {
		return !kinds.All.Has(c.Component()) || l.of.Component != "" && l.of.Component != c.Component()
	})
	slices.SortStableFunc(all, func(a, b engine.Summary) int { return kinds.All.Compare(a.Component(), b.Component()) })
	return all, nil
}

// backlog shows what is in the logs already, merged by time.
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
		if err := l.showLine(containers[first], *next[first]); err != nil {
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

func (l *logReader) showLine(c engine.Summary, line engine.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line.At.After(l.last[c.ID]) { // stdout and stderr may overtake each other
		l.last[c.ID] = line.At
	}
	return l.show(c.Component(), line)
}
