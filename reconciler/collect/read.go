package collect

import (
	"context"
	"errors"
	"strings"

	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
)

// errNoOverlap: there may be lines between those that were read before and these.
var errNoOverlap = errors.New("more lines than were asked for")

// read reads what a container has written since it was read last.
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
	if o.seen.IsZero() {
		o.seen = trail.Reached(o.id)
	}
	before := o.seen
	for _, tail := range tails {
		if tail > 0 && o.seen.IsZero() {
			continue
		}
		if err = c.readLines(ctx, trail, o, tail); !errors.Is(err, errNoOverlap) {
			break
		}
	}
	if isGone(err) || ctx.Err() != nil || errors.Is(err, engine.ErrUnavailable) {
		return false, err
	}
	err = errors.Join(err, trail.Settle(o.id, false), trail.Save())
	c.report(o.bottle, trail, err)
	return !o.seen.Equal(before), err
}

// readLines reads the last lines, or with a negative tail all since the last one that was seen. Which are new the trail
// knows: after a crash it may have more than was seen, and with a full disk less.
func (c *Collector) readLines(ctx context.Context, trail *audit.Trail, o *output, tail int) error {
	options := engine.LogOptions{Tail: tail}
	if tail < 0 {
		options.Since = o.seen
	}
	var stopped error
	began := false
	err := c.source.StreamLogs(ctx, o.id, options, func(line engine.LogLine) error {
		if stopped != nil {
			return stopped
		}
		if !began && tail > 0 && line.At.After(o.seen) {
			stopped = errNoOverlap
			return stopped
		}
		began = true
		if audit.IsStatement(line.Text) {
			if stopped = trail.Take(o.id, string(o.part), line.At, line.Text); stopped != nil {
				o.seen = trail.Reached(o.id)
				return stopped
			}
		}
		if !line.At.Equal(o.seen) {
			o.seen = line.At
			o.last.Store(false)
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	return err
}

// report logs what is wrong with a bottle's audit log, once as long as it stays the same. trail is nil when it could not be
// opened.
func (c *Collector) report(bottle string, trail *audit.Trail, err error) {
	trouble := ""
	if err != nil {
		trouble = "what its sidecars decide can't be put on record, and is tried again: " + err.Error()
	} else if full := trail.Full(); len(full) > 0 {
		trouble = "the audit log has no more room for " + strings.Join(full, ", ") + ": what they decide is only counted. Rename " + trail.Path() + " to archive it"
	}
	c.mu.Lock()
	before := c.trouble[bottle]
	c.trouble[bottle] = trouble
	c.mu.Unlock()
	switch trouble {
	case before:
	case "":
		c.log.Info().Str("bottle", bottle).Msg("the audit log is written again")
	default:
		c.log.Error().Str("bottle", bottle).Msg(trouble)
	}
}
