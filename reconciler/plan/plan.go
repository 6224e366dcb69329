package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// Desired is the desired state of all bottles.
type Desired struct {
	Bottles []state.Bottle
	// Failed maps bottles whose declaration can't be carried out to the reason (an invalid manifest, a missing token). They are left
	// as they are.
	Failed map[string]error
	// Stale maps those of Bottles that are desired as they were declared before to the reason why their newest declaration can't be
	// carried out.
	Stale map[string]error
	// Cut are the bottles that an operator cut off, declared or not: none of their containers may be on a network with a route out.
	Cut map[string]bool
	// Unknown are documents from which not even the name of the bottle can be read. While there is one, nothing is pruned.
	Unknown []string
	// Unread are the directories and files that are no longer read for manifests, since an agent can write there. A bottle that was
	// declared in one of them is not pruned.
	Unread []string
}

// Compute compares desired with observed state. It is pure: no clock, no engine, no file.
func Compute(want Desired, have observe.Observed, owner, stateDir string, prune PrunePolicy) Plan {
	bySlug := GroupBySlug(have, owner)
	var plan Plan
	declared := map[string]bool{}
	for slug, err := range want.Failed {
		declared[slug] = true
		plan.Bottles = append(plan.Bottles, kept(BottlePlan{Slug: slug, Err: err, Cut: want.Cut[slug]}, bySlug[slug]))
	}
	for _, b := range want.Bottles {
		declared[b.Slug] = true
		p := planBottle(b, bySlug[b.Slug], have, owner, stateDir)
		p.Desired, p.Stale, p.Cut = &b, want.Stale[b.Slug], b.Cut
		plan.Bottles = append(plan.Bottles, p)
	}
	var gone []string
	for _, slug := range slices.Sorted(maps.Keys(bySlug)) {
		if !declared[slug] {
			gone = append(gone, slug)
		}
	}
	if prune == PrunePartial {
		gone = nil
	}
	plan.prune(gone, bySlug, want, prune)
	for _, slug := range gone {
		if plan.HeldWhy != "" {
			plan.Bottles = append(plan.Bottles, kept(BottlePlan{Slug: slug, Held: plan.HeldWhy, Cut: want.Cut[slug]}, bySlug[slug]))
			continue
		}
		plan.Bottles = append(plan.Bottles, Removal(slug, bySlug[slug], stateDir, "its manifest is gone"))
	}
	slices.SortFunc(plan.Bottles, func(a, b BottlePlan) int { return strings.Compare(a.Slug, b.Slug) })
	return plan
}

// kept completes the plan of a bottle that is left as it is. Only a cut is carried out, by what is observed.
func kept(p BottlePlan, o owned) BottlePlan {
	p.Components = componentsOf(o)
	if !p.Cut {
		return p
	}
	for _, c := range o.containers {
		if c.Component() == state.PortForward {
			p.Steps = append(p.Steps, removeStep(c, causeCut))
			continue
		}
		for _, e := range c.Endpoints {
			internal := slices.ContainsFunc(o.networks, func(n engine.ObservedNetwork) bool {
				return n.Internal && n.Name == e.Network && (e.NetworkID == "" || n.ID == e.NetworkID)
			})
			if !internal {
				p.Steps = append(p.Steps, Step{
					Action: Disconnect, Component: c.Component(), Object: c.Name, Cause: causeCut,
					ContainerID: c.ID, LastRun: c.EndedAt, Attachment: state.Attachment{Network: e.Network},
				})
			}
		}
	}
	p.arrange(nil)
	return p
}

// owned is the observed state of one bottle.
type owned struct {
	containers []observe.ObservedContainer
	networks   []engine.ObservedNetwork
	volumes    []observe.ObservedVolume // those that go with the bottle; others are kept, and are no reason to remove anything
}

// GroupBySlug returns what exists of each bottle of an owner.
func GroupBySlug(have observe.Observed, owner string) map[string]owned {
	bySlug := map[string]owned{}
	for _, c := range have.Containers {
		o := bySlug[c.Slug()]
		o.containers = append(o.containers, c)
		bySlug[c.Slug()] = o
	}
	for _, n := range have.Networks {
		if n.Labels[state.LabelOwner] != owner || n.Labels[state.LabelSlug] == "" {
			continue
		}
		o := bySlug[n.Labels[state.LabelSlug]]
		o.networks = append(o.networks, n)
		bySlug[n.Labels[state.LabelSlug]] = o
	}
	for _, v := range have.Volumes {
		if !v.Disposable {
			continue
		}
		o := bySlug[v.Slug()]
		o.volumes = append(o.volumes, v)
		bySlug[v.Slug()] = o
	}
	return bySlug
}

// Removal plans the removal of a bottle, with all that exists of it.
func Removal(slug string, o owned, stateDir, cause string) BottlePlan {
	p := BottlePlan{Slug: slug, Remove: true, Components: componentsOf(o)}
	if p.Err = otherStateDir(slug, o, stateDir); p.Err != nil {
		return p
	}
	for _, c := range o.containers {
		p.Steps = append(p.Steps, removeStep(c, cause))
		if isInterrupted(c) {
			p.Runs = &state.AgentRuns{Interrupted: runOf(c)}
		}
	}
	for _, n := range o.networks {
		p.Steps = append(p.Steps, Step{Action: RemoveNetwork, Object: n.Name, Cause: cause, NetworkID: n.ID})
	}
	for _, v := range o.volumes {
		p.Steps = append(p.Steps, Step{Action: RemoveVolume, Object: v.Name, Cause: cause + ", and it has retain: false"})
	}
	p.Steps = append(p.Steps, Step{Action: RemoveFiles, Object: slug, Cause: cause})
	p.arrange(nil)
	return p
}

func removeStep(c observe.ObservedContainer, cause string) Step {
	s := Step{Action: Remove, Component: c.Component(), Object: c.Name, Cause: cause, ContainerID: c.ID, mounted: mountSources(c)}
	if !c.Orphan && kinds.All.Of(c.Component()).Workload && c.State == engine.StateRunning {
		s.Grace = c.Container.StopTimeout()
	}
	return s
}

func mountSources(c observe.ObservedContainer) []string {
	var sources []string
	for _, m := range c.Container.Mounts {
		sources = append(sources, m.Source)
	}
	return sources
}

// planner plans one bottle.
type planner struct {
	want       state.Bottle
	have       owned
	images     map[string]string
	volumes    map[string]bool // that exist or have a step already
	engine     engine.Capabilities
	dirs       map[string]map[string]state.ObservedFile
	networkIDs map[string]string
	// remade are the networks that are recreated, and with them every container on them.
	remade  map[string]bool
	fetched map[string]bool // images that have a step already
	plan    BottlePlan
}

func planBottle(want state.Bottle, have owned, all observe.Observed, owner, stateDir string) BottlePlan {
	p := planner{
		want: want, have: have, images: all.Images, engine: all.Capabilities, dirs: all.Dirs,
		volumes: map[string]bool{}, networkIDs: map[string]string{}, remade: map[string]bool{}, fetched: map[string]bool{}, plan: BottlePlan{Slug: want.Slug},
	}
	for _, v := range all.Volumes {
		p.volumes[v.Name] = true
	}
	p.plan.Volumes = p.volumeStatus()
	if err := conflicts(want, have, all, owner, stateDir); err != nil {
		p.plan.Err, p.plan.Components = err, componentsOf(have)
		return p.plan
	}
	p.networks()
	changed := p.files()
	if want.Suspended {
		p.suspend()
	} else {
		for _, m := range want.Components {
			p.component(m, changed)
		}
	}
	p.sessions()
	p.unwanted()
	p.plan.arrange(want.Components)
	slices.SortStableFunc(p.plan.Components, func(a, b reconciler.ComponentStatus) int { return kinds.All.Compare(a.Component, b.Component) })
	return p.plan
}

// conflicts returns an error when something that bottled must not touch is in the way of the bottle.
func conflicts(want state.Bottle, have owned, all observe.Observed, owner, stateDir string) error {
	if err := otherStateDir(want.Slug, have, stateDir); err != nil {
		return err
	}
	for _, n := range all.Networks {
		for _, w := range want.Networks {
			if n.Name != w.Name || n.Labels[state.LabelOwner] == owner && n.Labels[state.LabelSlug] == want.Slug {
				continue
			}
			if other := n.Labels[state.LabelOwner]; other != "" {
				return fmt.Errorf("network %s belongs to bottled's owner %q: use another --prefix, or another name for the bottle", n.Name, other)
			}
			return fmt.Errorf("network %s exists and was not made by bottled: remove it (%s), or use another --prefix",
				n.Name, fmt.Sprintf(all.Capabilities.Commands.RemoveNetwork, n.ID[:min(12, len(n.ID))]))
		}
	}
	return nil
}

// otherStateDir returns an error when the files of the bottle are in another state directory.
func otherStateDir(slug string, o owned, stateDir string) error {
	dirs := map[string]bool{}
	for _, c := range o.containers {
		dirs[c.Labels[state.LabelStateDir]] = true
	}
	for _, n := range o.networks {
		dirs[n.Labels[state.LabelStateDir]] = true
	}
	for dir := range dirs {
		if dir != stateDir {
			return fmt.Errorf("it was made with --state-dir %s, this is %s: go on with that one, or remove the bottle with it (bottled delete %s --state-dir %s)", dir, stateDir, slug, dir)
		}
	}
	return nil
}

func (p *planner) add(s Step) {
	s.EndIsFinal = s.Action == Start && s.Component == state.Agent && p.policy() == v1alpha1.RestartNever
	p.plan.Steps = append(p.plan.Steps, s)
}

// networks plans the creation of missing networks and the replacement of those that differ: a network can't be changed.
func (p *planner) networks() {
	wanted := map[string]bool{}
	for _, w := range p.want.Networks {
		wanted[w.Name] = true
		var same []engine.ObservedNetwork
		for _, n := range p.have.networks {
			if n.Name == w.Name {
				same = append(same, n)
			}
		}
		p.network(w, same)
	}
	for _, n := range p.have.networks {
		if !wanted[n.Name] {
			p.add(Step{Action: RemoveNetwork, Object: n.Name, Cause: "it is not part of the bottle any more", NetworkID: n.ID})
		}
	}
}

func (p *planner) network(w state.Network, same []engine.ObservedNetwork) {
	create := Step{Action: CreateNetwork, Object: w.Name, Cause: "it is missing", Network: w}
	if len(same) == 0 {
		p.add(create)
		return
	}
	changes := observe.DiffNetwork(w, same[0])
	if len(same) > 1 {
		changes = append(changes, observe.Change{Field: "networks of this name", Before: fmt.Sprint(len(same)), After: "1"})
	}
	if len(changes) == 0 {
		p.networkIDs[w.Name] = same[0].ID
		return
	}
	p.remade[w.Name] = true
	create.Cause, create.Changes = "it is not as declared", changes
	p.add(create)
	for _, n := range same {
		p.add(Step{Action: RemoveNetwork, Object: n.Name, Cause: "it is not as declared", NetworkID: n.ID})
	}
}

// unwanted plans the removal of containers whose component is not declared.
func (p *planner) unwanted() {
	wanted := map[state.ComponentName]bool{state.Session: true, state.PortForward: true} // see sessions
	for _, m := range p.want.Components {
		wanted[m.Name] = true
	}
	for _, c := range p.have.containers {
		if !wanted[c.Component()] {
			cause := "the bottle has no " + string(c.Component()) + " any more"
			p.interrupt(c)
			p.add(removeStep(c, cause))
			p.plan.Components = append(p.plan.Components, componentStatus(c, false, cause))
		}
	}
}

func componentsOf(o owned) []reconciler.ComponentStatus {
	var all []reconciler.ComponentStatus
	for _, c := range o.containers {
		all = append(all, componentStatus(c, c.State == engine.StateRunning && c.Health != engine.HealthUnhealthy, ""))
	}
	slices.SortStableFunc(all, func(a, b reconciler.ComponentStatus) int { return kinds.All.Compare(a.Component, b.Component) })
	return all
}

func componentStatus(c observe.ObservedContainer, ready bool, cause string) reconciler.ComponentStatus {
	s := reconciler.ComponentStatus{Component: c.Component(), Name: c.Name, State: c.State, Ready: ready, Image: c.Image, Cause: cause, Config: c.Config, ID: c.ID, EndedAt: c.EndedAt}
	if s.Component == state.Agent && s.State == engine.StateRunning {
		s.Phase = reconciler.PhaseRunning
	}
	return s
}
