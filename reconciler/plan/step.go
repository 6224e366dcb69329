// Package plan computes what has to change: the difference between desired and observed state, as a graph of steps with their
// causes. It is pure: no clock, no engine, no file.
package plan

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// Action is what a step does.
type Action string

// The actions.
const (
	EnsureImage   Action = "image"          // load or pull it
	BuildImage    Action = "build"          // an image, from its context
	CreateNetwork Action = "create network" //
	RemoveNetwork Action = "remove network" //
	WriteFiles    Action = "write files"    // of one host directory
	RemoveFiles   Action = "remove files"   //
	Create        Action = "create"         // a container, attached to its networks
	Start         Action = "start"          // and wait until it is ready
	Await         Action = "await"          // wait until it is ready
	Reload        Action = "reload"         // make it read its files again, and wait until it serves them
	Unpause       Action = "unpause"        //
	Connect       Action = "connect"        // to a network
	Reconnect     Action = "reconnect"      // to a network, for its aliases
	Disconnect    Action = "disconnect"     // from a network
	UpdateLimits  Action = "update limits"  // while it runs
	Stop          Action = "stop"           // a container, which is kept
	Remove        Action = "remove"         // a container
)

// Step is one change, and its cause. It begins when every step in After is done; steps that don't wait for each other run at once.
type Step struct {
	ID        int   // its index in the plan
	After     []int // the IDs of its prerequisites, each smaller than its own (see rules)
	Action    Action
	Component state.ComponentName // "" for what belongs to the whole bottle
	Object    string              // name of the container, network, image or directory
	Cause     string
	Changes   []observe.Change

	ContainerID string // "" when the container is created by this plan
	NetworkID   string
	Declared    state.Component
	Network     state.Network
	Attachment  state.Attachment
	Dir         state.Dir
	Graceful    bool      // give the container time to end
	LastRun     time.Time // when the container ended last; what it said after that, it said in the run to come

	halts   bool     // an Unpause that only allows the Stop after it
	mounted []string // sources of the mounts of a container that goes
}

// BottlePlan is what to do for one bottle.
type BottlePlan struct {
	Slug   string
	Remove bool // the bottle goes
	// Held says why the bottle is kept though it is not declared any more.
	Held  string
	Steps []Step
	// Err says why nothing can be done for the bottle; it is left as it is.
	Err error
	// Stale says why the bottle is as it was declared before, not as it is declared now.
	Stale error
	// Desired is the bottle as it is declared; nil where there is no declaration.
	Desired *state.Bottle
	// Partial says that steps are left out, so that the bottle is not as desired when those that are left are done.
	Partial    bool
	Components []reconciler.ComponentStatus
}

// Changes reports whether the plan changes anything.
func (p BottlePlan) Changes() bool { return len(p.Steps) > 0 }

// Plan is what to do for all bottles.
type Plan struct {
	Bottles []BottlePlan // sorted by slug
	// Held are the bottles on the engine that are not declared any more and are kept all the same.
	Held []string
	// HeldWhy is the reason for Held; PruneErr is set when somebody must confirm the removal.
	HeldWhy  string
	PruneErr error
}

// Changes reports whether the plan changes anything.
func (p Plan) Changes() bool {
	for _, b := range p.Bottles {
		if b.Changes() {
			return true
		}
	}
	return false
}
