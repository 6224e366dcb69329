package plan

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// Action is the kind of a step.
type Action string

// The actions.
const (
	EnsureImage   Action = "image"          // load or pull it
	BuildImage    Action = "build"          // an image, from its context
	CreateNetwork Action = "create network" //
	RemoveNetwork Action = "remove network" //
	CreateVolume  Action = "create volume"  //
	RemoveVolume  Action = "remove volume"  //
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
	Volume      state.Volume
	Attachment  state.Attachment
	Dir         state.Dir
	EndIsFinal  bool          // a Start whose container may end in failure at once: that is no failure of the step
	Grace       time.Duration // of a Stop or Remove: for the container to end; 0: it is killed
	LastRun     time.Time     // when the container ended last; what it said after that, it said in the run to come

	order   int      // of the component, by dependency
	halts   bool     // an Unpause that only allows the Stop after it
	mounted []string // sources of the mounts of a container that goes
}

// BottlePlan is the plan of one bottle.
type BottlePlan struct {
	Slug   string
	Remove bool // the bottle goes
	// Held is why the bottle is kept though it is no longer declared; "" where it is declared or removed.
	Held  string
	Steps []Step
	// Err is why nothing can be done for the bottle, which is left as it is, except that it may be cut off.
	Err error
	// Cut reports that an operator cut the bottle off: nothing of it may be on a network with a route out.
	Cut bool
	// Stale is why the bottle is desired as it was declared before, not as it is declared now.
	Stale error
	// Desired is the bottle's desired state; nil where it has no declaration that can be carried out.
	Desired *state.Bottle
	// Runs is what has to be on record of the agent's runs before the steps are done; nil when it is already.
	Runs *state.AgentRuns
	// Warnings are about what is as declared and hardly meant.
	Warnings []string
	// Partial reports that steps are left out (see Without): the bottle is not as desired when the others are done.
	Partial    bool
	Components []reconciler.ComponentStatus
	Volumes    []reconciler.VolumeStatus
}

// Changes reports whether the plan changes anything.
func (p BottlePlan) Changes() bool { return len(p.Steps) > 0 }

// Plan is the plans of all bottles.
type Plan struct {
	Bottles []BottlePlan // sorted by slug
	// Held are the bottles that are no longer declared but kept.
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
