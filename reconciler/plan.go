package reconciler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// Desired is everything that is declared.
type Desired struct {
	Bottles []state.Bottle
	// Failed are bottles that are declared in a way that can't be carried out (a bad manifest, a missing
	// token). They are left as they run.
	Failed map[string]error
	// Stale are bottles, among Bottles, that are as they were declared before, and why: their newest declaration can't be
	// carried out.
	Stale map[string]error
	// Unknown are documents that can't even be told the name of the bottle they declare. While there is one,
	// nothing is pruned.
	Unknown []string
	// Unread are the directories and files that are not read for manifests any more, since an agent can write there. A bottle
	// that was declared in one of them is not pruned.
	Unread []string
}

// MakePlan compares what is declared with what is observed. It is pure: no clock, no engine, no file.
func MakePlan(want Desired, have state.Observed, owner, stateDir string, prune PrunePolicy) Plan {
	bySlug := groupBySlug(have, owner)
	var plan Plan
	declared := map[string]bool{}
	for slug, err := range want.Failed {
		declared[slug] = true
		plan.Bottles = append(plan.Bottles, BottlePlan{Slug: slug, Err: err, Parts: observedParts(bySlug[slug])})
	}
	for _, b := range want.Bottles {
		declared[b.Slug] = true
		p := planBottle(b, bySlug[b.Slug], have, owner, stateDir)
		p.Generation, p.Suspended, p.Stale = b.Generation, b.Suspended, want.Stale[b.Slug]
		plan.Bottles = append(plan.Bottles, p)
	}
	var gone []string
	for _, slug := range slices.Sorted(maps.Keys(bySlug)) {
		if !declared[slug] {
			gone = append(gone, slug)
		}
	}
	plan.prune(gone, bySlug, want, prune)
	for _, slug := range gone {
		if plan.HeldWhy != "" {
			plan.Bottles = append(plan.Bottles, BottlePlan{Slug: slug, Held: plan.HeldWhy, Parts: observedParts(bySlug[slug])})
			continue
		}
		plan.Bottles = append(plan.Bottles, planRemoval(slug, bySlug[slug], stateDir, "its manifest is gone"))
	}
	slices.SortFunc(plan.Bottles, func(a, b BottlePlan) int { return strings.Compare(a.Slug, b.Slug) })
	return plan
}

// owned is what exists on the engine of one bottle.
type owned struct {
	containers []state.ObservedContainer
	networks   []state.ObservedNetwork
}

func groupBySlug(have state.Observed, owner string) map[string]owned {
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
	return bySlug
}

// planRemoval takes everything of a bottle away: the last part first, containers before networks.
func planRemoval(slug string, o owned, stateDir, cause string) BottlePlan {
	p := BottlePlan{Slug: slug, Remove: true, Parts: observedParts(o)}
	if p.Err = otherStateDir(slug, o, stateDir); p.Err != nil {
		return p
	}
	for _, c := range o.containers {
		p.Steps = append(p.Steps, removeStep(c, cause))
	}
	for _, n := range o.networks {
		p.Steps = append(p.Steps, Step{Stage: stageRemoveNetworks, Action: RemoveNetwork, Object: n.Name, Cause: cause, networkID: n.ID})
	}
	p.Steps = append(p.Steps, Step{Stage: stagePrepare, Action: RemoveFiles, Object: slug, Cause: cause})
	sortSteps(p.Steps)
	return p
}

func removeStep(c state.ObservedContainer, cause string) Step {
	return Step{
		Stage: removeStage(c.Part()), Action: Remove, Part: c.Part(), Object: c.Name, Cause: cause,
		containerID: c.ID, graceful: !c.Orphan && (c.Part() == state.Agent || c.Part() == state.Run) && c.State == state.StateRunning,
	}
}

func sortSteps(steps []Step) {
	slices.SortStableFunc(steps, func(a, b Step) int {
		if a.Stage != b.Stage {
			return a.Stage - b.Stage
		}
		return state.ComparePart(a.Part, b.Part)
	})
}

// planner plans one bottle.
type planner struct {
	want       state.Bottle
	have       owned
	images     map[string]string
	dirs       map[string]map[string]state.ObservedFile
	networkIDs map[string]string
	// remade are the networks that are created anew: whatever is attached to them must be, too.
	remade  map[string]bool
	fetched map[string]bool // images that the plan gets already
	plan    BottlePlan
}

func planBottle(want state.Bottle, have owned, all state.Observed, owner, stateDir string) BottlePlan {
	p := planner{
		want: want, have: have, images: all.Images, dirs: all.Dirs,
		networkIDs: map[string]string{}, remade: map[string]bool{}, fetched: map[string]bool{}, plan: BottlePlan{Slug: want.Slug},
	}
	if err := conflicts(want, have, all.Networks, owner, stateDir); err != nil {
		p.plan.Err, p.plan.Parts = err, observedParts(have)
		return p.plan
	}
	p.networks()
	changed := p.files()
	if want.Suspended {
		p.suspend()
	} else {
		for _, m := range want.Members {
			p.member(m, changed)
		}
	}
	p.sessions()
	p.unwanted()
	sortSteps(p.plan.Steps)
	slices.SortStableFunc(p.plan.Parts, func(a, b PartStatus) int { return state.ComparePart(a.Role, b.Role) })
	return p.plan
}

// conflicts finds what bottled must not touch in the bottle's way.
func conflicts(want state.Bottle, have owned, all []state.ObservedNetwork, owner, stateDir string) error {
	if err := otherStateDir(want.Slug, have, stateDir); err != nil {
		return err
	}
	for _, n := range all {
		for _, w := range want.Networks {
			if n.Name != w.Name || n.Labels[state.LabelOwner] == owner && n.Labels[state.LabelSlug] == want.Slug {
				continue
			}
			if other := n.Labels[state.LabelOwner]; other != "" {
				return fmt.Errorf("network %s belongs to bottled's owner %q: use another --prefix, or another name for the bottle", n.Name, other)
			}
			return fmt.Errorf("network %s exists and was not made by bottled: remove it (docker network rm %s), or use another --prefix", n.Name, n.ID[:min(12, len(n.ID))])
		}
	}
	return nil
}

// otherStateDir keeps a controller from a bottle whose files are another's.
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

func (p *planner) add(s Step) { p.plan.Steps = append(p.plan.Steps, s) }

// networks creates what is missing and replaces what is not as declared: a network can't be changed.
func (p *planner) networks() {
	wanted := map[string]bool{}
	for _, w := range p.want.Networks {
		wanted[w.Name] = true
		var same []state.ObservedNetwork
		for _, n := range p.have.networks {
			if n.Name == w.Name {
				same = append(same, n)
			}
		}
		p.network(w, same)
	}
	for _, n := range p.have.networks {
		if !wanted[n.Name] {
			p.add(Step{Stage: stageRemoveNetworks, Action: RemoveNetwork, Object: n.Name, Cause: "it is not part of the bottle any more", networkID: n.ID})
		}
	}
}

func (p *planner) network(w state.Network, same []state.ObservedNetwork) {
	create := Step{Stage: stagePrepare, Action: CreateNetwork, Object: w.Name, Cause: "it is missing", network: w}
	if len(same) == 0 {
		p.add(create)
		return
	}
	changes := state.DiffNetwork(w, same[0])
	if len(same) > 1 {
		changes = append(changes, state.Change{Field: "networks of this name", Before: fmt.Sprint(len(same)), After: "1"})
	}
	if len(changes) == 0 {
		p.networkIDs[w.Name] = same[0].ID
		return
	}
	p.remade[w.Name] = true
	create.Cause, create.Changes = "it is not as declared", changes
	p.add(create)
	for _, n := range same {
		p.add(Step{Stage: stageRemoveNetworks, Action: RemoveNetwork, Object: n.Name, Cause: "it is not as declared", networkID: n.ID})
	}
}

// unwanted removes containers of the bottle that no member claims.
func (p *planner) unwanted() {
	wanted := map[state.Part]bool{state.Run: true}
	for _, m := range p.want.Members {
		wanted[m.Part] = true
	}
	for _, c := range p.have.containers {
		if !wanted[c.Part()] {
			cause := "the bottle has no " + string(c.Part()) + " any more"
			p.add(removeStep(c, cause))
			p.plan.Parts = append(p.plan.Parts, partStatus(c, false, cause))
		}
	}
}

func observedParts(o owned) []PartStatus {
	var parts []PartStatus
	for _, c := range o.containers {
		parts = append(parts, partStatus(c, c.State == state.StateRunning && c.Health != state.HealthUnhealthy, ""))
	}
	slices.SortStableFunc(parts, func(a, b PartStatus) int { return state.ComparePart(a.Role, b.Role) })
	return parts
}

func partStatus(c state.ObservedContainer, ready bool, cause string) PartStatus {
	return PartStatus{Role: c.Part(), Name: c.Name, State: c.State, Ready: ready, Image: c.Image, Cause: cause, Config: c.Config, id: c.ID, endedAt: c.EndedAt}
}
