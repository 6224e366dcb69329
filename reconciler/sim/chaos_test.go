package sim

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

var (
	chaosSeeds = flag.Int("chaos.seeds", 1000, "how many seeds TestChaos runs; -short runs 50")
	chaosFirst = flag.Uint64("chaos.first", 0, "the first seed of TestChaos")
)

const (
	foreignContainer = "somebody-elses"
	foreignNetwork   = "somebody-elses-net"
)

// chaos does one thing after the other, by a seed, to what is declared, what runs, the engine and the controller.
type chaos struct {
	w   *world
	log []string // what was done

	mu     sync.Mutex // of what the engine's calls use
	random *rand.Rand
	faulty bool
}

// TestChaos leaves the world as declared, whatever happened before, and what is somebody else's alone.
func TestChaos(t *testing.T) {
	seeds := *chaosSeeds
	if testing.Short() {
		seeds = min(seeds, 50)
	}
	for i := range seeds {
		seed := *chaosFirst + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(w *world) { runChaos(w, seed) })
		})
	}
}

func runChaos(w *world, seed uint64) {
	c := &chaos{w: w, random: rand.New(rand.NewPCG(seed, 0)), faulty: true}
	foreign := state.Container{Name: foreignContainer, Image: agent1, Networks: []state.Attachment{}}
	if err := w.hands.Create(foreign); err != nil {
		w.t.Fatal(err)
	}
	if err := w.hands.Connect(foreignContainer, foreignNetwork); err != nil {
		w.t.Fatal(err)
	}
	id, _ := w.hands.ID(foreignContainer)
	w.prune = plan.PruneAll
	w.declare(full("a"), full("b"))
	w.run(c.around)
	for range 5 + c.pick(15) {
		c.step()
		w.pass(time.Duration(c.pick(1500)) * time.Millisecond)
	}
	c.mu.Lock()
	c.faulty = false
	c.mu.Unlock()
	w.engine.SetDown(false)
	if err := w.settled(30 * time.Minute); err != nil {
		w.t.Fatalf("%v\nafter %q", err, c.log)
	}
	if now, running := w.hands.ID(foreignContainer); now != id || !running || !slices.Contains(w.hands.NetworkNames(), foreignNetwork) {
		w.t.Errorf("somebody else's container or network was touched after %q", c.log)
	}
}

func (c *chaos) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

// around fails one call in 25, before or after its effect.
func (c *chaos) around(ctx context.Context, call engine.Call, next func(context.Context) error) error {
	c.mu.Lock()
	dice := c.random.IntN(50)
	faulty := c.faulty
	c.mu.Unlock()
	switch {
	case !faulty || dice > 1 || call.Verb == "events":
		return next(ctx)
	case dice == 0:
		return errRefused
	}
	if err := next(ctx); err != nil {
		return err
	}
	return engine.ErrUnavailable
}

// step does one thing.
func (c *chaos) step() {
	steps := map[string]func(slug string){
		"declare":  func(slug string) { c.w.declare(full(slug)) },
		"withdraw": func(slug string) { c.w.withdraw(slug) },
		"allowlist": c.edit(func(b *v1alpha1.Bottle) {
			b.Spec.Egress.Allowlist = v1alpha1.Allow(fmt.Sprintf("h%d.example", c.pick(9)))
		}),
		"image":      c.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent = agentOf([]string{agent1, agent2}[c.pick(2)]) }),
		"suspend":    c.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = !b.Spec.Suspend }),
		"supervise":  c.edit(func(b *v1alpha1.Bottle) { b.Spec.Supervise = !b.Spec.Supervise }),
		"interfere":  c.interfere,
		"interfere2": c.interfere,
		"network":    func(slug string) { _ = c.w.hands.RemoveNetwork(prefix + "-net-" + slug) }, // fails while it is in use
		"directory":  func(slug string) { c.w.hands.RemoveDir(c.w.settings.BottleDir(slug) + "/pipelock") },
		"image lost": func(string) { c.w.hands.RemoveImage(own) },
		"engine":     func(string) { c.w.engine.SetDown(c.pick(2) == 0) },
		"restart":    func(string) { c.w.run(c.around) },
	}
	names := slices.Sorted(maps.Keys(steps))
	name, slug := names[c.pick(len(names))], []string{"a", "b", "c"}[c.pick(3)]
	c.log = append(c.log, name+" "+slug)
	steps[name](slug)
}

func (c *chaos) edit(change func(*v1alpha1.Bottle)) func(slug string) {
	return func(slug string) {
		c.w.source.change(func(all map[string]v1alpha1.Bottle) {
			if b, declared := all[slug]; declared {
				change(&b)
				all[slug] = b
			}
		})
	}
}

// interfere does something to a container of the bottle. There may be nothing to do it to.
func (c *chaos) interfere(slug string) {
	i := interferences[c.pick(len(interferences))]
	component := kinds.All.Names()[c.pick(len(kinds.All.Names()))]
	c.log[len(c.log)-1] += ": " + i.name + " " + string(component)
	_ = i.do(c.w, name(component, slug))
}
