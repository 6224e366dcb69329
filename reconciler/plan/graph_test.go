package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// TestEveryRuleCounts leaves out one rule at a time: the graph of some case must then be another one.
func TestEveryRuleCounts(t *testing.T) {
	counts := make([]bool, len(rules))
	for _, change := range cases {
		w := newWorld(t)
		change(t, w)
		for _, p := range w.plan().Bottles {
			before := p.Graph()
			for i := range rules {
				p.link(slices.Concat(rules[:i], rules[i+1:]))
				counts[i] = counts[i] || p.Graph() != before
			}
		}
	}
	for i, r := range rules {
		if !counts[i] {
			t.Errorf("no case needs the rule: %s", r.why)
		}
	}
}

// TestGraphOfAnyWorld checks the promises of a graph in random worlds, with random components in backoff.
func TestGraphOfAnyWorld(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.disturb(t, rt)
		for _, p := range w.plan().Bottles {
			checkGraph(rt, p)
			held := map[state.ComponentName]string{}
			for _, c := range rapid.SliceOfDistinct(rapid.SampledFrom(append([]state.ComponentName{"", db, cache}, kinds.All.Names()...)), rapid.ID).Draw(rt, "held") {
				held[c] = "it failed"
			}
			less := p.Without(held)
			checkGraph(rt, less)
			checkHeld(rt, p, less, held)
		}
	})
}

// disturb changes a world at random, the declaration or what exists.
func (w *world) disturb(t *testing.T, rt *rapid.T) {
	maybe := func(what string) bool { return rapid.IntRange(0, 3).Draw(rt, what) == 0 }
	if maybe("session") {
		w.session(t).Orphan = maybe("orphan")
	}
	if maybe("no supervise") {
		w.manifest.Spec.Supervise = false
	}
	if maybe("services") {
		w.withServices(t)
		if maybe("converged") {
			w.have = converged(w.want.Bottles[0])
		}
	}
	if maybe("no agent") {
		w.manifest.Spec.Agent = nil
	}
	if maybe("allowlist") {
		w.manifest.Spec.Egress.Allowlist = v1alpha1.Allow("pypi.org")
	}
	if maybe("other CIDRs") {
		w.manifest.Spec.Egress = v1alpha1.Egress{PrivateCIDRs: []string{"192.168.7.0/24"}}
	}
	w.manifest.Spec.Suspend = maybe("suspended")
	w.desire(t)
	for i := range w.have.Networks {
		if maybe("network differs") {
			w.have.Networks[i].IPv6 = true
		}
	}
	if maybe("network missing") {
		w.have.Networks = w.have.Networks[1:]
	}
	if maybe("network of before") {
		n := w.have.Networks[0]
		n.Name, n.ID = "old-prefix-net-dev", "old"
		w.have.Networks = append(w.have.Networks, n)
	}
	for i := range w.have.Containers {
		disturbContainer(rt, &w.have.Containers[i])
	}
	w.have.Containers = slices.DeleteFunc(w.have.Containers, func(observe.ObservedContainer) bool { return maybe("container missing") })
	if maybe("images missing") {
		w.have.Images = nil
	}
	for _, d := range w.want.Bottles[0].Dirs {
		if maybe("directory missing") {
			delete(w.have.Dirs, d.Path)
		}
	}
	if maybe("manifest gone") {
		w.want, w.prune = Desired{}, PruneAll
	}
}

func disturbContainer(rt *rapid.T, c *observe.ObservedContainer) {
	c.State = rapid.SampledFrom([]string{"running", "running", "paused", "exited", "created", "dead"}).Draw(rt, "state")
	switch rapid.IntRange(0, 6).Draw(rt, "drift") {
	case 0:
		c.Endpoints = append(c.Endpoints, extra("bridge"))
	case 1:
		c.Endpoints = nil
	case 2:
		c.Container.Command = []string{"sh"}
	case 3:
		c.Container.Limits.Pids = 1
	case 4:
		c.Config, c.Health = "", engine.HealthStarting
	}
}

// checkGraph checks that IDs and prerequisites make a graph without cycles, and that what must not happen too early waits.
func checkGraph(t *rapid.T, p BottlePlan) {
	before := make([]map[int]bool, len(p.Steps))
	for i, s := range p.Steps {
		if s.ID != i {
			t.Fatalf("step %d has ID %d\n%s", i, s.ID, p.Graph())
		}
		before[i] = map[int]bool{}
		for _, id := range s.After {
			if id < 0 || id >= i {
				t.Fatalf("step %d waits for %d\n%s", i, id, p.Graph())
			}
			before[i][id] = true
			for k := range before[id] {
				before[i][k] = true
			}
		}
	}
	for i, s := range p.Steps {
		for j, on := range p.Steps {
			if must := mustPrecede(on, s); must && !before[i][j] {
				t.Fatalf("%s %s does not wait for %s %s\n%s", s.Action, s.Object, on.Action, on.Object, p.Graph())
			}
		}
	}
}

// mustPrecede states the promises again, by what they are for.
func mustPrecede(on, s Step) bool {
	earlier := kinds.All.Order(on.Component) < kinds.All.Order(s.Component)
	switch on.Action {
	case Disconnect:
		return s.Action != Disconnect
	case EnsureImage, BuildImage:
		return s.Action == Remove || s.Action == Create && s.Declared.Container.Image == on.Object
	case Remove, Stop:
		return (s.Action == Remove || s.Action == Stop) && kinds.All.Order(on.Component) > kinds.All.Order(s.Component) || s.Action == RemoveNetwork || s.Action == RemoveFiles ||
			s.Action == Create && on.Component == s.Component
	case RemoveNetwork:
		return s.Action == CreateNetwork || s.Action == RemoveFiles
	case CreateNetwork:
		return s.Action == Create && slices.ContainsFunc(s.Declared.Container.Networks,
			func(a state.Attachment) bool { return a.Network == on.Object })
	case WriteFiles:
		return (s.Action == Create || s.Action == Start || s.Action == Reload) && slices.Contains(s.Declared.DirPaths, on.Dir.Path)
	case Create:
		return s.Action == Start && s.Component == on.Component
	case Start, Await, Reload:
		return s.Action == Start && earlier
	}
	return false
}

// checkHeld checks that backoff keeps what is held back, and whatever is started after it, from changing, and nothing else.
func checkHeld(t *rapid.T, whole, less BottlePlan, held map[state.ComponentName]string) {
	for _, s := range less.Steps {
		_, all := held[""]
		_, own := held[s.Component]
		if (all || own) && s.Action != Disconnect && s.Action != UpdateLimits {
			t.Fatalf("%s %s is not held back: %v\n%s", s.Action, s.Object, held, less.Graph())
		}
		for _, on := range whole.Steps {
			_, waits := held[on.Component]
			if s.Action == Start && waits && mustPrecede(on, s) && on.Action != Disconnect {
				t.Fatalf("%s %s needs %s %s, which is held back\n%s", s.Action, s.Object, on.Action, on.Object, less.Graph())
			}
		}
	}
	if dropped := len(less.Steps) < len(whole.Steps); dropped != less.Partial {
		t.Fatalf("partial: %v, %d of %d steps", less.Partial, len(less.Steps), len(whole.Steps))
	}
	if len(held) == 0 && less.Partial {
		t.Fatal("steps are left out though nothing is held back")
	}
}
