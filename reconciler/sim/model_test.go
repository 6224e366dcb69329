package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// changes are the verbs that change what is on the engine.
var changes = []string{
	"create_network", "remove_network", "create_container", "start_container", "stop_container", "remove_container", "unpause_container",
	"update_container", "connect_network", "disconnect_network", "load_image", "write_files", "remove_files", "reload", "wait_ready",
}

// orderCheck makes sure, at every start of a component, that each component before it runs and is ready.
type orderCheck struct {
	w  *world
	mu sync.Mutex
	// broken are the starts that came too early.
	broken []string
	// fails says which changes fail, by their number; the rest passes.
	fails map[int]bool
	count int
}

func (o *orderCheck) around(ctx context.Context, c engine.Call, next func(context.Context) error) error {
	if c.Verb == "start_container" {
		o.check(ctx, c.Object)
	}
	if slices.Contains(changes, c.Verb) {
		o.mu.Lock()
		fails := o.fails[o.count]
		o.count++
		o.mu.Unlock()
		if fails {
			return errRefused
		}
	}
	return next(ctx)
}

func (o *orderCheck) check(ctx context.Context, id string) {
	all, err := o.w.engine.Containers(ctx, owner, "")
	if err != nil {
		return // the start will fail, too
	}
	i := slices.IndexFunc(all, func(s engine.Summary) bool { return s.ID == id })
	if i < 0 {
		return
	}
	starting := all[i]
	for _, other := range all {
		if other.Slug() != starting.Slug() || state.CompareComponents(other.Component(), starting.Component()) >= 0 {
			continue
		}
		report, err := o.w.engine.LastReport(ctx, other.ID, time.Time{})
		if other.State != engine.StateRunning || err != nil || report.Config == "" {
			o.mu.Lock()
			o.broken = append(o.broken, fmt.Sprintf("%s started while %s was %s", starting.Name, other.Name, other.State))
			o.mu.Unlock()
		}
	}
}

// bottles generates what is declared.
func bottles(t *rapid.T) []manifests.Bottle {
	slugs := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(t, "declared")
	var all []manifests.Bottle
	for _, slug := range slugs {
		b := full(slug)
		b.Spec.Supervise = rapid.Bool().Draw(t, slug+" supervise")
		b.Spec.Suspend = rapid.IntRange(0, 4).Draw(t, slug+" suspended") == 0
		b.Spec.Egress.Allowlist = []string{rapid.SampledFrom([]string{"example.com", "example.org"}).Draw(t, slug+" host")}
		if rapid.Bool().Draw(t, slug+" has no routes") {
			b.Spec.CredProxy = nil
		}
		if rapid.IntRange(0, 3).Draw(t, slug+" has no agent") == 0 {
			b.Spec.Agent = nil
		} else {
			b.Spec.Agent.Image = rapid.SampledFrom([]string{agent1, agent2}).Draw(t, slug+" image")
		}
		all = append(all, b)
	}
	return all
}

// TestModel holds for any two declarations one after the other, any interference between them, and any changes that fail:
// executing a plan reaches what is declared, a second plan is empty, the order holds at every start, nothing else appears.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		before, after := bottles(rt), bottles(rt)
		var hit []string
		for range rapid.IntRange(0, 3).Draw(rt, "interferences") {
			hit = append(hit, rapid.SampledFrom(interferences).Draw(rt, "interference").name+" "+
				name(rapid.SampledFrom(state.ComponentOrder).Draw(rt, "component"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "bottle")))
		}
		fails := map[int]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 8).Draw(rt, "failing changes") {
			fails[n] = true
		}
		synctest.Test(t, func(t *testing.T) {
			model(t, rt, dir, before, after, hit, fails)
		})
	})
}

func model(t *testing.T, rt *rapid.T, dir string, before, after []manifests.Bottle, hit []string, fails map[int]bool) {
	w := newWorld(t, dir)
	once := func(declared []manifests.Bottle, around engine.Interceptor) pass.Result {
		w.source.change(func(all map[string]manifests.Bottle) {
			clear(all)
			for _, b := range declared {
				all[b.Metadata.Name] = b
			}
		})
		snapshot, _, err := w.source.Read()
		if err != nil {
			rt.Fatal(err)
		}
		result, err := w.reconciler(engine.Intercept(w.engine, around)).Once(t.Context(), snapshot, pass.Options{Prune: plan.PruneAll})
		if err != nil {
			rt.Fatal(err)
		}
		return result
	}
	order := &orderCheck{w: w}
	if r := once(before, order.around); len(r.Failed) > 0 {
		rt.Fatalf("the first pass: %v", r.Failed)
	}
	for _, h := range hit {
		what, container, _ := strings.Cut(h, " p-")
		i := slices.IndexFunc(interferences, func(i interference) bool { return i.name == what })
		_ = interferences[i].do(w, "p-"+container) // there may be nothing to do it to
	}
	time.Sleep(shownWithin)
	order.mu.Lock()
	order.fails, order.count = fails, 0
	order.mu.Unlock()
	once(after, order.around) // may fail
	order.mu.Lock()
	order.fails = nil
	order.mu.Unlock()
	if r := once(after, order.around); len(r.Failed) > 0 {
		rt.Fatalf("the pass after the failures: %v", r.Failed)
	}
	if err := w.converged(); err != nil {
		rt.Fatalf("a second plan is not empty: %v", err)
	}
	if len(order.broken) > 0 {
		rt.Errorf("order: %v", order.broken)
	}
	var want int
	for _, b := range after {
		want++ // pipelock
		if b.Spec.CredProxy != nil {
			want++
		}
		if b.Spec.Supervise {
			want++
		}
		if b.Spec.Agent != nil {
			want++
		}
	}
	if !slices.ContainsFunc(after, func(b manifests.Bottle) bool { return b.Spec.Suspend }) && len(w.hands.Names()) != want {
		rt.Errorf("%d containers, want %d: %v", len(w.hands.Names()), want, w.hands.Names())
	}
}
