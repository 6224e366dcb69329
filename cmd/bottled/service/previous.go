package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// previous shows what is left of earlier runs: what a container logged before it was started last, and of containers that are gone what
// the audit log has.
func (l *logReader) previous(ctx context.Context, containers []engine.Summary, since time.Time) error {
	var sources []logSource
	for _, c := range containers {
		sources = append(sources, func(ctx context.Context, send func(LogLine) error) error {
			return l.earlierRuns(ctx, c, since, send)
		})
	}
	for _, bottle := range l.bottles() {
		sources = append(sources, func(_ context.Context, send func(LogLine) error) error {
			return l.goneContainers(bottle, containers, since, send)
		})
	}
	shown := false
	show := l.show
	l.show = func(line LogLine) error {
		shown = true
		return show(line)
	}
	if err := l.mergeAll(ctx, sources); err != nil || shown {
		return err
	}
	return errors.New("nothing is left of earlier runs: an engine drops a container's log with the container, and only the sidecars' decisions are kept in the audit log")
}

// earlierRuns sends what a container logged before its present run, or all if it does not run.
func (l *logReader) earlierRuns(ctx context.Context, c engine.Summary, since time.Time, send func(LogLine) error) error {
	detail, err := l.engine.Inspect(ctx, c.ID)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	runs := c.State == engine.StateRunning || c.State == engine.StatePaused
	return l.read(ctx, c, engine.LogOptions{Since: since, Tail: -1}, func(line engine.LogLine) error {
		if runs && line.At.After(detail.EndedAt) {
			return nil
		}
		line.Text = slices.Clone(line.Text)
		return send(LogLine{Target: targetOf(c), LogLine: line})
	})
}

// goneContainers sends the audit log's records of containers that are not there any more.
func (l *logReader) goneContainers(bottle string, containers []engine.Summary, since time.Time, send func(LogLine) error) (err error) {
	reader, err := audit.OpenReader(l.settings.AuditDir(), bottle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for {
		r, more, err := reader.Next()
		if err != nil || !more {
			return err
		}
		of := Target{bottle, state.ComponentName(r.Component)}
		there := slices.ContainsFunc(containers, func(c engine.Summary) bool { return strings.HasPrefix(c.ID, r.Container) })
		if there || !l.wants(of) || r.At().Before(since) {
			continue
		}
		if err := send(LogLine{Target: of, LogLine: engine.LogLine{At: r.At()}, Decision: &r}); err != nil {
			return err
		}
	}
}
