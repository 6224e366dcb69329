package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Record is one decision, as a line of the audit log (contract).
type Record struct {
	Time   time.Time `json:"time"`
	Bottle string    `json:"bottle"` // by the queue's place, not by the agent's word
	Tool   Tool      `json:"tool"`
	// Action is the answer's status; or void, for a decision that came too late and had no effect: the line
	// before it of the same proposal.
	Action        string `json:"action"`
	Who           string `json:"who"`
	Diff          string `json:"diff"` // what it changes of the bottle, as was shown to who decided; unified
	Justification string `json:"justification"`
	Notes         string `json:"notes"`
	Proposal      string `json:"proposal"` // its ID
}

// actionVoid takes a decision back, see Record.
const actionVoid = "void"

// AuditLog is the file that decisions are appended to. It lies on the host, outside of every queue. It is
// safe for concurrent use, by several processes too.
type AuditLog struct {
	mu   sync.Mutex
	file *os.File
}

// OpenAuditLog opens the file, or makes it, readable for its owner only. Close it after use.
func OpenAuditLog(path string) (*AuditLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return &AuditLog{file: file}, nil
}

// Close closes the file.
func (l *AuditLog) Close() error { return l.file.Close() }

// Append adds a record. It has reached the disk when Append returns without an error.
func (l *AuditLog) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit log %s: %w", l.file.Name(), err)
	}
	return nil
}

func (l *AuditLog) write(line []byte) error {
	fd := int(l.file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return err
	}
	defer func() { _ = syscall.Flock(fd, syscall.LOCK_UN) }() // closing the file unlocks, too
	cut, err := l.cutShort()
	if err != nil {
		return err
	}
	if cut { // the line of one who crashed, or found the disk full, must not swallow this one
		line = append([]byte{'\n'}, line...)
	}
	if _, err := l.file.Write(line); err != nil {
		return err
	}
	return l.file.Sync()
}

// cutShort tells whether the last line is incomplete.
func (l *AuditLog) cutShort() (bool, error) {
	end, err := l.file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = l.file.ReadAt(last, end-1)
	return last[0] != '\n', err
}

// Decide answers a proposal for a human. The decision is in the audit log before the agent can see it, and one
// that can't be logged is not made. bottle is the slug that the queue's directory belongs to; diff is what the
// human saw. ErrAnswered when somebody was faster, ErrGone when the proposal is not there.
func (q *Queue) Decide(log *AuditLog, bottle, id string, a Answer, diff string) error {
	if a.Status == Withdrawn || a.By == "" {
		return fmt.Errorf("decide on proposal %s: a decision is approved, modified or rejected, and by somebody", id)
	}
	a.Time = q.now().UTC()
	if err := a.validate(); err != nil {
		return fmt.Errorf("decide on proposal %s: %w", id, err)
	}
	entry, err := q.Get(id)
	if err != nil {
		return err
	}
	if entry.Answer != nil {
		return fmt.Errorf("proposal %s: %w (%s)", id, ErrAnswered, entry.Answer.Status)
	}
	p := entry.Proposal
	record := Record{
		Time: a.Time, Bottle: bottle, Tool: p.Tool, Action: string(a.Status), Who: a.By, Diff: diff,
		Justification: p.Justification, Notes: a.Notes, Proposal: id,
	}
	if err := log.Append(record); err != nil {
		return err
	}
	err = q.Answer(id, a)
	if err != nil {
		record.Action, record.Notes = actionVoid, err.Error()
		return errors.Join(err, log.Append(record))
	}
	return nil
}
