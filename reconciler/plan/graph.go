package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
)

// rule is one reason for which a step waits for an earlier one.
type rule struct {
	why   string
	waits func(s, on *Step) bool
}

// rules are the prerequisites of steps. A step waits for another one only where a rule says so: all other steps of a plan run
// concurrently, and continue when that one fails. Only an earlier step can be a prerequisite (see sortSteps), so there is no cycle.
var rules = []rule{
	{"an escape is cut off before anything else is done", func(s, on *Step) bool {
		return on.Action == Disconnect && s.Action != Disconnect
	}},
	{"the steps of one component keep their order, but containers of it are removed side by side", func(s, on *Step) bool {
		return s.Component != "" && s.Component == on.Component && (s.Object == on.Object || !s.takesDown() || !on.takesDown())
	}},
	{"nothing is removed before every image is there that may be needed to replace it", func(s, on *Step) bool {
		return on.getsImage() && (s.takesDown() || s.Action == RemoveNetwork)
	}},
	{"the last component is removed or stopped first: an agent never outlives what confines it", func(s, on *Step) bool {
		return s.takesDown() && on.takesDown() && on.order > s.order
	}},
	{"a network is removed after the containers on it", func(s, on *Step) bool {
		return s.Action == RemoveNetwork && on.takesDown()
	}},
	{"a network's name and addresses are free before they are used again", func(s, on *Step) bool {
		return s.Action == CreateNetwork && on.Action == RemoveNetwork
	}},
	{"a volume is removed after the containers that mount it", func(s, on *Step) bool {
		return s.Action == RemoveVolume && on.takesDown()
	}},
	{"the files of a bottle are removed after everything that may need them", func(s, _ *Step) bool {
		return s.Action == RemoveFiles
	}},
	{"files are written when a container that read the old ones, and goes, is gone", func(s, on *Step) bool {
		return s.Action == WriteFiles && on.takesDown() && slices.Contains(on.mounted, s.Dir.Path)
	}},
	{"a container's name is free before it is used again", func(s, on *Step) bool {
		return s.Action == Create && on.Action == Remove && s.Object == on.Object
	}},
	{"a container is created when its image is there", func(s, on *Step) bool {
		return s.Action == Create && on.getsImage() && s.Declared.Container.Image == on.Object
	}},
	{"a container is created on, or connected to, networks that exist", func(s, on *Step) bool {
		return on.Action == CreateNetwork && s.joins(on.Object)
	}},
	{"a container is created, started or reloaded when its files are written", func(s, on *Step) bool {
		return on.Action == WriteFiles && (s.Action == Create || s.activates()) && slices.Contains(s.Declared.DirPaths, on.Dir.Path)
	}},
	{"a component starts when every one before it is ready", func(s, on *Step) bool {
		return s.activates() && on.makesReady() && on.order < s.order
	}},
}

func (s *Step) getsImage() bool { return s.Action == EnsureImage || s.Action == BuildImage }

// takesDown reports whether the step ends a container, or leads to its end.
func (s *Step) takesDown() bool { return s.Action == Remove || s.Action == Stop || s.halts }

// makesReady reports whether the component is ready when the step is done.
func (s *Step) makesReady() bool {
	return s.Action == Start || s.Action == Await || s.Action == Reload
}

// activates reports whether the component works, or works otherwise, from this step on.
func (s *Step) activates() bool {
	return s.Action == Start || s.Action == Reload || s.Action == Unpause && !s.halts
}

// joins reports whether the step puts the container on a network.
func (s *Step) joins(network string) bool {
	switch s.Action {
	case Create:
		return slices.ContainsFunc(s.Declared.Container.Networks, func(a state.Attachment) bool { return a.Network == network })
	case Connect, Reconnect:
		return s.Attachment.Network == network
	}
	return false
}

// arrange orders the steps of a plan, numbers them and gives each its prerequisites. declared are the components in the order in which
// they are declared.
func (p *BottlePlan) arrange(declared []state.Component) {
	for i := range p.Steps {
		s := &p.Steps[i]
		s.order = kinds.All.Order(s.Component)*(len(declared)+1) + slices.IndexFunc(declared, func(m state.Component) bool { return m.Name == s.Component })
	}
	sortSteps(p.Steps)
	p.link(rules)
}

// sortSteps brings steps into an order in which they could be done one after the other, which is also the order in which people
// see them.
func sortSteps(steps []Step) {
	slices.SortStableFunc(steps, func(a, b Step) int {
		if d := a.phase() - b.phase(); d != 0 {
			return d
		}
		if a.takesDown() {
			a, b = b, a
		}
		return a.order - b.order
	})
}

// phase is the step's place among steps of other kinds. What needs no waiting comes early.
func (s *Step) phase() int {
	switch s.Action {
	case Disconnect:
		return 0
	case EnsureImage, BuildImage:
		return 1
	case Remove, Stop:
		return 2
	case RemoveNetwork, RemoveVolume:
		return 3
	case CreateNetwork, CreateVolume, WriteFiles, RemoveFiles:
		return 4
	case Create:
		return 5
	case Unpause:
		if s.halts {
			return 2
		}
	case Start, Await, Reload, Connect, Reconnect, UpdateLimits:
	}
	return 6
}

// link sets the steps' IDs and prerequisites. Prerequisites that another prerequisite has are left out.
func (p *BottlePlan) link(rules []rule) {
	before := make([][]bool, len(p.Steps)) // by step: all that are done before it begins
	for i := range p.Steps {
		s := &p.Steps[i]
		s.ID, s.After = i, nil
		before[i] = make([]bool, i)
		for j := i - 1; j >= 0; j-- { // the latest first, since it has the others as its own prerequisites
			if before[i][j] || !slices.ContainsFunc(rules, func(r rule) bool { return r.waits(s, &p.Steps[j]) }) {
				continue
			}
			s.After = append(s.After, j)
			before[i][j] = true
			for k, earlier := range before[j] {
				before[i][k] = before[i][k] || earlier
			}
		}
		slices.Sort(s.After)
	}
}

// drop leaves steps out. What waited for one of them waits for that one's prerequisites instead.
func (p *BottlePlan) drop(out func(Step) bool) {
	var kept []Step
	moved := make([][]int, len(p.Steps)) // by old ID: the new IDs to wait for in its place
	for _, s := range p.Steps {
		var after []int
		for _, id := range s.After {
			after = append(after, moved[id]...)
		}
		slices.Sort(after)
		after = slices.Compact(after)
		if out(s) {
			moved[s.ID] = after
			continue
		}
		moved[s.ID] = []int{len(kept)}
		s.ID, s.After = len(kept), after
		kept = append(kept, s)
	}
	p.Steps = kept
}

// Graph is the plan as text for tests and debugging, a line a step: its ID, what it does, the IDs of its prerequisites, and why it
// is done.
func (p BottlePlan) Graph() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "[%d] %s %s", s.ID, s.Action, s.Object)
		for i, id := range s.After {
			fmt.Fprintf(&b, "%s%d", map[bool]string{true: " <- ", false: ","}[i == 0], id)
		}
		fmt.Fprintf(&b, " (%s)\n", s.Cause)
	}
	return b.String()
}
