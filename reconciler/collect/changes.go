package collect

import (
	"github.com/bot-bottle/bottled/state/audit"
)

// RecordChange records what was done to a bottle, or failed with err. It has been done by then, so a problem with the log is logged only.
// On a nil collector it does nothing.
func (c *Collector) RecordChange(change audit.Change, err error) {
	if c == nil {
		return
	}
	change.Result = audit.ChangeDone
	if err != nil {
		change.Result, change.Error = audit.ChangeFailed, err.Error()
	}
	c.reportChange(change.Bottle, c.changes.Record(change))
}

// RecordOrder records an operator's order before it is carried out. A full disk must not prevent it: it may be what cuts a bottle off.
// On a nil collector it does nothing.
func (c *Collector) RecordOrder(change audit.Change) {
	if c == nil {
		return
	}
	c.reportChange(change.Bottle, c.changes.Record(change))
	c.CommitChanges(change.Bottle)
}

// CommitChanges makes the changes of a bottle so far survive a crash of the host. On a nil collector it does nothing.
func (c *Collector) CommitChanges(bottle string) {
	if c != nil {
		c.reportChange(bottle, c.changes.Commit(bottle))
	}
}

// By names the user whose command makes the changes that are recorded from now on.
func (c *Collector) By(who string) { c.changes.Who = who }

func (c *Collector) reportChange(bottle string, err error) {
	if err != nil {
		c.log.Error().Str("bottle", bottle).Err(err).Msg("can't record a change in the audit log")
	}
}
