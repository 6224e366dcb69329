package approve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
)

// phase is how far a decision is carried out.
type phase string

// The phases. A crash leaves a decision in one of them, and each can be begun again.
const (
	// phaseApply writes the change and waits until the bottle is ready with it.
	phaseApply phase = "apply"
	// phaseMerge has the change proposed as a branch, and waits until somebody has merged it and the bottle is ready with it.
	phaseMerge phase = "merge"
	// phaseTakeBack undoes a change with which the bottle does not become ready.
	phaseTakeBack phase = "take back"
	// phaseAnswer records the decision in the audit log and then answers the agent.
	phaseAnswer phase = "answer"
	// phaseVoid records that the decision no longer fits the manifest. The proposal then waits again.
	phaseVoid phase = "void"
)

// decision is a decision under way, as it is on file in the journal. It holds no secret.
type decision struct {
	Bottle   string              `json:"bottle"`
	Proposal queue.Proposal      `json:"proposal"` // as it was decided about
	Decision reconciler.Decision `json:"decision"`
	Phase    phase               `json:"phase"`
	// Own says that a person made the proposal himself: no agent waits for an answer, and where the change can't be made nothing is left.
	Own bool `json:"own,omitempty"`
	// Change is nil for a decision that changes no file.
	Change *change `json:"change,omitempty"`
	// SpecHash is the digest of the declaration with which the bottle has to be ready; "" for a decision that changes nothing.
	SpecHash string `json:"specHash,omitempty"`
	// Notes are what the agent is told beside the decision's own notes, if it is carried out.
	Notes string `json:"notes,omitempty"`
	// Diff is the change as people see it.
	Diff string `json:"diff,omitempty"`
	// SecretFile is the file of a route's token that gets the secret of a secret-request; "" for other proposals. See givenSecret.
	SecretFile string `json:"secretFile,omitempty"`

	// Written reports that the files had the change once: should one be as before again, somebody has undone that.
	Written bool `json:"written,omitempty"`
	// Proposed says where the change waits to be merged, and Patch is that change for git am; Pushed reports whether the branch is on the server.
	Proposed string `json:"proposed,omitempty"`
	Patch    string `json:"patch,omitempty"`
	Pushed   bool   `json:"pushed,omitempty"`
	// Declared is the bottle without and with a change that waits to be merged.
	Declared *changedBottle `json:"declared,omitempty"`
	// Failure is why the change could not be made, for the operator.
	Failure string `json:"failure,omitempty"`

	started bool // it has a worker
	reject  chan rejection
	// proposeNext is when the branch of a change that waits to be merged is made anew. Its worker alone uses it.
	proposeNext time.Time
	// recorded: it is in the audit log. maybeRecorded: it may be, by an earlier process or by a try that failed.
	recorded, maybeRecorded bool
}

// change replaces the content of a file.
type change struct {
	File   string `json:"file"`
	Before []byte `json:"before"`
	After  []byte `json:"after"`
	// SpecHash is the digest of the declaration before the change.
	SpecHash string `json:"specHash"`
}

// journal is the directory with a file for each decision under way.
type journal struct{ dir string }

const journalSuffix = ".json"

func (j journal) path(id string) string { return filepath.Join(j.dir, id+journalSuffix) }

// save records a decision. After nil it survives a crash.
func (j journal) save(x *decision) error {
	data, err := json.MarshalIndent(x, "", "  ")
	if err == nil {
		err = owndir.Save(j.path(x.Proposal.ID), data)
	}
	if err != nil {
		return fmt.Errorf("record the decision about proposal %s: %w", x.Proposal.ID, err)
	}
	return nil
}

// remove forgets a decision that is carried out.
func (j journal) remove(id string) error {
	if err := removeFile(j.path(id)); err != nil {
		return fmt.Errorf("forget the decision about proposal %s: %w", id, err)
	}
	return nil
}

// load returns the decisions under way, in the order in which they were accepted, and what can't be read.
func (j journal) load() (all []*decision, err error) {
	if err := owndir.Check(j.dir); err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	var failed []error
	for _, e := range entries {
		id, isDecision := strings.CutSuffix(e.Name(), journalSuffix)
		switch {
		case strings.HasPrefix(id, "."): // a crash left it: it never was a decision
			failed = append(failed, os.Remove(filepath.Join(j.dir, e.Name())))
			continue
		case !isDecision || e.IsDir():
			continue
		}
		x, err := j.read(id)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		all = append(all, x)
	}
	slices.SortStableFunc(all, func(a, b *decision) int { return a.Decision.Time.Compare(b.Decision.Time) })
	return all, errors.Join(failed...)
}

func (j journal) read(id string) (*decision, error) {
	data, err := owndir.ReadFile(j.path(id))
	var x decision
	if err == nil {
		err = json.Unmarshal(data, &x)
	}
	if err == nil && (x.Proposal.ID != id || x.Bottle == "" || x.Phase == "" || x.Phase == phaseMerge && x.Declared == nil) {
		err = errors.New("it is incomplete")
	}
	if err != nil {
		return nil, fmt.Errorf("read the decision about proposal %s: %s: %w", id, j.path(id), err)
	}
	x.maybeRecorded = true
	return &x, nil
}
