package approve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// DefaultTimeout is how long a bottle may take to become ready with an approved change.
const DefaultTimeout = 2 * time.Minute

const (
	maxAnswered = 100 // answered proposals that are remembered
	// maxWaiting is how many proposals of one bottle are looked at; an intact supervise queues no more.
	maxWaiting = queue.MaxPending
)

// ErrSuperseded means that the manifests declare something else of a bottle than what was waited for.
var ErrSuperseded = errors.New("the manifest declares something else now")

// Manifests is where changes of manifests are written.
type Manifests interface {
	// ReadWith returns the manifests as they would be read if a file, named as in v1alpha1.Source, had another content. It changes nothing.
	ReadWith(file string, content []byte) (source.Snapshot, error)
	// Editable returns why no change of a file can be made, as far as that can be told without one; nil where one can.
	Editable(file string, agents safepath.Set) error
	// Write replaces the content of a file, if it still is the one given as before; else it fails with edit.ErrChanged. The file has the
	// one or the other content at any time, and after nil the new one survives a crash. A file that an agent can write is not written. A
	// Proposer's is not called.
	Write(file string, before, after []byte, agents safepath.Set) error
}

// Bottles is the controller.
type Bottles interface {
	// Known reports whether a bottle is declared, validly or not, or runs.
	Known(slug string) bool
	// Writable returns what agents can write; false before the manifests were read.
	Writable() (safepath.Set, bool)
	// Declaration returns a bottle as it was declared when the manifests were last read; false where it has no valid declaration.
	Declaration(slug string) (Declaration, bool)
	// Preview plans a bottle as if a snapshot were what is declared, and a Dockerfile, unless it is nil, its agent's. It changes nothing.
	Preview(ctx context.Context, m source.Snapshot, slug string, dockerfile []byte) (plan.BottlePlan, error)
	// Converge reads the manifests anew, and returns nil when the bottle is found as declared after that. It fails with ErrSuperseded when
	// the digest of what is declared is not specHash.
	Converge(ctx context.Context, slug, specHash string) error
	Record(e reconciler.Event)
}

// Declaration is a declared bottle.
type Declaration struct {
	Bottle v1alpha1.Bottle
	// Policy says what may be approved without a person; nil for what the bottle says.
	Policy *v1alpha1.ApprovalPolicy
}

// Config holds a desk's dependencies and settings. All fields but Watch and Around are required.
type Config struct {
	Settings  state.Settings
	Manifests Manifests
	Timeout   time.Duration // for a bottle to become ready with an approved change; after that the change is taken back
	// Watch reports which queues have changed; nil: they are listed every second.
	Watch func() (Watcher, error)
	Log   zerolog.Logger
	// Around stands between the desk and everything that it writes, named by a Write. nil: nothing does.
	Around func(write Write, do func() error) error
}

// Write is something that a desk writes.
type Write string

// The writes, in the order in which an approval makes them.
const (
	KeepSecret    Write = "secret given" // with what its file had before
	WriteDecision Write = "decision"     // the journal's file
	WriteSecret   Write = "secret"
	WriteManifest Write = "manifest" // or the Dockerfile
	WriteAudit    Write = "audit record"
	WriteAnswer   Write = "answer"
	RemoveSecret  Write = "secret gone"
	RemoveJournal Write = "end of the decision" // the journal's file goes
)

// Desk decides about proposals and carries the decisions out. It is a prometheus.Collector of its metrics.
type Desk struct {
	Config
	journal   journal
	decisions *prometheus.CounterVec
	bottles   Bottles
	onChange  func()

	// Run alone uses these, by bottle.
	problems  map[string]string // why the queue can't be read
	announced map[string]*rate.Limiter

	deciding sync.Mutex // held while a decision is made: the first one wins

	mu           sync.Mutex // held for moments only, and never during a call of another package's
	proposals    map[string]*proposal
	left         map[string]departed   // by bottle
	answered     []reconciler.Proposal // the oldest first
	underWay     []*decision           // in the order in which they were accepted
	lastDecision time.Time             // the time of the last one that was made
	wake         chan struct{}         // holds one: something is due
	workers      sync.WaitGroup
}

// New returns a desk that does nothing before Attach and Run.
func New(c Config) *Desk {
	if c.Around == nil {
		c.Around = func(_ Write, do func() error) error { return do() }
	}
	return &Desk{
		Config: c, proposals: map[string]*proposal{}, left: map[string]departed{}, wake: make(chan struct{}, 1), journal: journal{c.Settings.ApprovalsDir()}, decisions: newDecisions(),
		problems: map[string]string{}, announced: map[string]*rate.Limiter{},
	}
}

// Attach sets the controller. onChange is called when Proposals or Summary may return something else.
func (d *Desk) Attach(bottles Bottles, onChange func()) { d.bottles, d.onChange = bottles, onChange }

// proposal is a proposal that is not answered yet.
type proposal struct {
	queue.Proposal // as it was first seen
	bottle         string
	summary        string
	asked, expires time.Time
	message        string
	decision       *decision // nil while it waits for one
	notBefore      time.Time // the next try to end it, after one that failed
	unruled        bool      // no rule decides about it any more
}

// Proposals returns the proposals that are not answered, and the last ones that were since the controller started; the oldest first.
func (d *Desk) Proposals() []reconciler.Proposal {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Clone(d.answered)
	for _, p := range d.proposals {
		all = append(all, d.describe(p))
	}
	slices.SortFunc(all, func(a, b reconciler.Proposal) int { return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Summary counts the proposals of a bottle that wait for a person; nil when none does.
func (d *Desk) Summary(bottle string) *reconciler.WaitingProposals {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s reconciler.WaitingProposals
	for _, p := range d.proposals {
		if p.bottle != bottle || p.decision != nil {
			continue
		}
		if s.Waiting++; s.Waiting == 1 || p.asked.Before(s.Oldest) {
			s.Oldest = p.asked
		}
	}
	if s.Waiting == 0 {
		return nil
	}
	return &s
}

// describe returns a proposal as people see it. d.mu is held.
func (d *Desk) describe(p *proposal) reconciler.Proposal {
	r := reconciler.Proposal{
		ID: p.ID, Bottle: p.bottle, Tool: p.Tool, Asked: p.asked, Expires: p.expires, Summary: p.summary, Justification: p.Justification,
		State: reconciler.ProposalWaiting, Message: p.message,
	}
	if p.decision != nil {
		made := p.decision.Decision
		if r.State, r.Decision, r.Own = reconciler.ProposalApplying, &made, p.decision.Own; p.decision.Phase == phaseMerge {
			r.State = reconciler.ProposalMerging
		}
	}
	return r
}

// find returns a proposal that can be decided about.
func (d *Desk) find(id string) (*proposal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.proposals[id]; p != nil {
		if p.decision != nil {
			return p, alreadyDecided(id, p.decision.Decision)
		}
		return p, nil
	}
	for _, a := range d.answered {
		if a.ID == id {
			return nil, alreadyDecided(id, *a.Decision)
		}
	}
	return nil, fmt.Errorf("%w %.64q", reconciler.ErrNoProposal, id)
}

func alreadyDecided(id string, by reconciler.Decision) error {
	return fmt.Errorf("%w: proposal %s is %s already, by %s at %s", reconciler.ErrDecision, id, by.Status, by.By, by.Time.Format(time.RFC3339))
}

// notify has Run look at what is due.
func (d *Desk) notify() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
