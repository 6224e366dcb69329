package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
)

// changes are the verbs that change what is on the engine.
var changes = []string{
	"create_network", "remove_network", "create_volume", "remove_volume", "create_container", "start_container", "stop_container", "remove_container", "unpause_container",
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
		if other.Slug() != starting.Slug() || kinds.All.Compare(other.Component(), starting.Component()) >= 0 || !o.w.source.declares(other) {
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

// declares reports whether a container is of a component that is declared. The removal of another one may have failed half-way.
func (s *declarations) declares(c engine.Summary) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := s.bottles[c.Slug()].Spec
	service, isService := strings.CutPrefix(string(c.Component()), state.ServicePrefix)
	switch {
	case isService:
		return slices.ContainsFunc(spec.Services, func(s v1alpha1.Service) bool { return s.Name == service })
	case c.Component() == state.CredProxy:
		return spec.CredProxy != nil
	case c.Component() == state.Supervise:
		return spec.Supervise
	}
	return true
}

// bottles generates what is declared.
func bottles(t *rapid.T) []v1alpha1.Bottle {
	slugs := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(t, "declared")
	var all []v1alpha1.Bottle
	for _, slug := range slugs {
		b := full(slug)
		b.Spec.Supervise = rapid.Bool().Draw(t, slug+" supervise")
		b.Spec.Suspend = rapid.IntRange(0, 4).Draw(t, slug+" suspended") == 0
		b.Spec.Egress.Allowlist = v1alpha1.Allow(rapid.SampledFrom([]string{"example.com", "example.org"}).Draw(t, slug+" host"))
		if rapid.Bool().Draw(t, slug+" has no routes") {
			b.Spec.CredProxy = nil
		}
		if rapid.IntRange(0, 3).Draw(t, slug+" has services") == 0 {
			b.Spec.Services = services()
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
				name(rapid.SampledFrom(kinds.All.Names()).Draw(rt, "component"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "bottle")))
		}
		fails := map[int]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 8).Draw(rt, "failing changes") {
			fails[n] = true
		}
		var failed error // a test of rapid's ends by a panic, which a bubble does not survive
		synctest.Test(t, func(t *testing.T) {
			failed = model(t, dir, before, after, hit, fails)
		})
		if failed != nil {
			rt.Fatal(failed)
		}
	})
}

// model plays one case.
func model(t *testing.T, dir string, before, after []v1alpha1.Bottle, hit []string, fails map[int]bool) error {
	w := newWorld(t, dir)
	order := &orderCheck{w: w}
	if err := w.once(before, order.around); err != nil {
		return fmt.Errorf("the first pass: %w", err)
	}
	for _, h := range hit {
		what, container, _ := strings.Cut(h, " p-")
		i := slices.IndexFunc(interferences, func(i interference) bool { return i.name == what })
		_ = interferences[i].do(w, "p-"+container) // there may be nothing to do it to
	}
	w.pass(shownWithin)
	order.fail(fails)
	_ = w.once(after, order.around) // may fail
	order.fail(nil)
	if err := w.once(after, order.around); err != nil {
		return fmt.Errorf("the pass after the failures: %w", err)
	}
	if err := w.converged(); err != nil {
		return fmt.Errorf("a second plan is not empty: %w", err)
	}
	if len(order.broken) > 0 {
		return fmt.Errorf("order: %v", order.broken)
	}
	return w.onlyDeclared(after)
}

// fail sets which of the changes to come fail.
func (o *orderCheck) fail(changes map[int]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fails, o.count = changes, 0
}

// once makes one deep pass.
func (w *world) once(declared []v1alpha1.Bottle, around engine.Interceptor) error {
	w.source.change(func(all map[string]v1alpha1.Bottle) {
		clear(all)
		for _, b := range declared {
			all[b.Metadata.Name] = b
		}
	})
	snapshot, _, err := w.source.Read()
	if err != nil {
		return err
	}
	result, err := w.reconciler(engine.Intercept(w.engine, around)).Once(w.t.Context(), snapshot, pass.Options{Prune: plan.PruneAll, Deep: true})
	if err == nil && len(result.Failed) > 0 {
		err = fmt.Errorf("%v", result.Failed)
	}
	return err
}

// onlyDeclared makes sure that the containers are those of what is declared. A suspended bottle keeps those that it had.
func (w *world) onlyDeclared(declared []v1alpha1.Bottle) error {
	want := map[string]bool{}
	for _, b := range declared {
		slug := b.Metadata.Name
		want[name(state.Pipelock, slug)] = true
		want[name(state.CredProxy, slug)] = b.Spec.CredProxy != nil
		want[name(state.Supervise, slug)] = b.Spec.Supervise
		want[name(state.Agent, slug)] = b.Spec.Agent != nil
		for _, s := range b.Spec.Services {
			want[serviceName(state.ComponentName(state.ServicePrefix+s.Name), slug)] = true
		}
		if b.Spec.Suspend {
			return nil
		}
	}
	maps.DeleteFunc(want, func(_ string, declared bool) bool { return !declared })
	if got := w.hands.Names(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		return fmt.Errorf("containers %v, want %v", got, want)
	}
	return nil
}
