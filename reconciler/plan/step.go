// Package reconciler makes the engine equal to what is declared: a pure plan of steps with their causes, an
// executor that is the only place which changes the engine, and the pass that ties them together.
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

// Step is one thing to do, and why. Steps of one stage run side by side, except that those of one part run in
// their order; a stage begins when the one before it is done.
type Step struct {
	Stage     int
	Action    Action
	Component state.ComponentName // "" for what belongs to the whole bottle
	Object    string              // name of the container, network, image or directory
	Cause     string
	Changes   []observe.Change
	// Record marks the step that only notes what was declared; it is no difference.
	Record bool

	ContainerID string // "" when the container is created by this plan
	NetworkID   string
	Declared    state.Component
	Network     state.Network
	Attachment  state.Attachment
	Dir         state.Dir
	Graceful    bool      // give the container time to end
	LastRun     time.Time // when the container ended last; what it said after that, it said in the run to come
}

// The stages of a bottle's plan. What needs no waiting comes early; what cuts off an escape comes first of all.
const (
	stageDetach = iota
	StageImages
	StageRemove                                   // the last part first: one stage a part
	stageRemoveNetworks = StageRemove + 10        //
	StagePrepare        = stageRemoveNetworks + 1 // networks and files
	StageCreate         = StagePrepare + 1
	stageStart          = StageCreate + 1 // the first part first: one stage a part
)

func removeStage(p state.ComponentName) int {
	return StageRemove + len(state.ComponentOrder) - p.Order()
}
func startStage(p state.ComponentName) int { return stageStart + p.Order() }

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
	// Generation is that of the declaration; "" where there is none.
	SpecHash   string
	Suspended  bool
	Components []reconciler.ComponentStatus
}

// Changes says whether the plan changes anything.
func (p BottlePlan) Changes() bool {
	for _, s := range p.Steps {
		if !s.Record {
			return true
		}
	}
	return false
}

// Plan is what to do for all bottles.
type Plan struct {
	Bottles []BottlePlan // sorted by slug
	// Held are the bottles on the engine that are not declared any more and are kept all the same.
	Held []string
	// HeldWhy is the reason for Held; PruneErr is set when somebody must confirm the removal.
	HeldWhy  string
	PruneErr error
}

// Changes says whether the plan changes anything.
func (p Plan) Changes() bool {
	for _, b := range p.Bottles {
		if b.Changes() {
			return true
		}
	}
	return false
}
