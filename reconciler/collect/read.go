package collect

import (
	"context"
	"errors"
	"strings"

	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// errNoOverlap reports that the last lines of a log don't reach back to those that were read before: there may be lines between.
var errNoOverlap = errors.New("more new lines than requested")

// read copies the new lines of a container's output into the audit log. news reports whether there were any.
func (c *Collector) read(ctx context.Context, o *output) (news bool, err error) {
	select {
	case o.reading <- struct{}{}:
		defer func() { <-o.reading }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	trail, err := c.trail(o.bottle)
	if err != nil {
		c.report(o.bottle, nil, err)
		return false, err
	}
	if o.lastLineAt.IsZero() {
		o.lastLineAt = trail.LastLogged(o.id)
	}
	before := o.lastLineAt
	for _, tail := range tails {
		if tail > 0 && o.lastLineAt.IsZero() {
			continue
		}
		if err = c.readLines(ctx, trail, o, tail); !errors.Is(err, errNoOverlap) {
			break
		}
	}
	if isRemoved(err) || ctx.Err() != nil || errors.Is(err, engine.ErrUnavailable) {
		return false, err
	}
	err = errors.Join(err, trail.FlushGap(o.id, false), trail.Save())
	c.report(o.bottle, trail, err)
	return !o.lastLineAt.Equal(before), err
}

// readLines reads the last tail lines, or with a negative tail all since lastLineAt. The trail decides which are new: after a crash it
// may have more of them than lastLineAt says, and after a full disk fewer.
func (c *Collector) readLines(ctx context.Context, trail *audit.Trail, o *output, tail int) error {
	options := engine.LogOptions{Tail: tail}
	if tail < 0 {
		options.Since = o.lastLineAt
	}
	var stopped error
	began := false
	err := c.source.StreamLogs(ctx, o.id, options, func(line engine.LogLine) error {
		if stopped != nil {
			return stopped
		}
		if !began && tail > 0 && line.At.After(o.lastLineAt) {
			stopped = errNoOverlap
			return stopped
		}
		began = true
		if audit.IsStatement(line.Text) {
			if stopped = trail.Add(o.id, string(o.component), line.At, line.Text); stopped != nil {
				o.lastLineAt = trail.LastLogged(o.id)
				return stopped
			}
		}
		if !line.At.Equal(o.lastLineAt) {
			o.lastLineAt = line.At
			o.drained.Store(false)
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	return err
}

// report logs the problem with a bottle's audit log, if it changed. trail is nil when it could not be opened.
func (c *Collector) report(bottle string, trail *audit.Trail, err error) {
	problem := ""
	if err != nil {
		problem = "can't record the sidecars' decisions, will retry: " + err.Error()
	} else if full := trail.FullComponents(); len(full) > 0 {
		problem = "the audit log is full for " + strings.Join(full, ", ") + ": further decisions are only counted. To make room: bottled audit archive " + bottle
	}
	c.mu.Lock()
	before := c.problems[bottle]
	c.problems[bottle] = problem
	c.mu.Unlock()
	switch problem {
	case before:
	case "":
		c.log.Info().Str("bottle", bottle).Msg("the audit log is written again")
	default:
		c.log.Error().Str("bottle", bottle).Msg(problem)
	}
}
