package pass

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

func allowing(hosts ...string) source.Snapshot {
	return source.Snapshot{Bottles: []v1alpha1.Bottle{{
		Metadata: v1alpha1.Metadata{Name: "dev"}, Spec: v1alpha1.Spec{Egress: v1alpha1.Egress{Allowlist: v1alpha1.Allow(hosts...)}},
	}}}
}

// TestGenerationGrowsWithTheSpec and survives a restart, when it was recorded.
func TestGenerationGrowsWithTheSpec(t *testing.T) {
	b := newBench(t)
	expect := func(r *Reconciler, what string, m source.Snapshot, want int64) {
		t.Helper()
		r.Declare(m)
		if got := r.Generation("dev"); got != want {
			t.Errorf("%s: generation %d, want %d", what, got, want)
		}
	}
	expect(b.Reconciler, "the first", allowing("a"), 1)
	expect(b.Reconciler, "the same again", allowing("a"), 1)
	moved := allowing("a")
	moved.Bottles[0].Source.Path = "/elsewhere"
	expect(b.Reconciler, "the same elsewhere", moved, 1)
	expect(b.Reconciler, "another", allowing("b"), 2)
	expect(b.Reconciler, "the first again", allowing("a"), 3)

	p, err := b.Plan(t.Context(), allowing("a"), Options{Slug: "dev"})
	if err != nil || p.Bottles[0].Desired.Generation != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := b.saveRecord(p.Bottles[0], nil); err != nil {
		t.Fatal(err)
	}
	expect(&Reconciler{Settings: b.Settings}, "the same after a restart", allowing("a"), 3)
	expect(&Reconciler{Settings: b.Settings}, "another after a restart", allowing("b"), 4)
}

// TestGenerationOfAnOlderSnapshot: a pass over what is not the newest declaration any more counts nothing.
func TestGenerationOfAnOlderSnapshot(t *testing.T) {
	b := newBench(t)
	old, newest := allowing("a"), allowing("b")
	if got := b.generation(old.Bottles[0]); got != 1 || b.Generation("dev") != 0 {
		t.Errorf("a plan without a declaration: generation %d, %d after it", got, b.Generation("dev"))
	}
	b.Declare(old)
	b.setApplied(declaration{manifest: old.Bottles[0], generation: 1})
	b.Declare(newest)
	if got, next := b.generation(old.Bottles[0]), b.generation(newest.Bottles[0]); got != 1 || next != 2 || b.Generation("dev") != 2 {
		t.Errorf("generations %d and %d, the newest %d", got, next, b.Generation("dev"))
	}
	if got := b.generation(allowing("never", "applied").Bottles[0]); got != 0 {
		t.Errorf("generation %d of what was superseded before it was rendered", got)
	}
}

// TestRecordIsSaved when the containers are as declared, even if one does not become ready.
func TestRecordIsSaved(t *testing.T) {
	step := func(a plan.Action) error {
		return &execute.StepError{Step: plan.Step{Action: a}, Err: errors.New("no")}
	}
	for name, test := range map[string]struct {
		err     error
		change  func(*plan.BottlePlan)
		written bool
	}{
		"done":                 {nil, nil, true},
		"not ready":            {errors.Join(step(plan.Start), step(plan.Reload), errors.New("the clean-up")), nil, true},
		"not created":          {errors.Join(step(plan.Start), step(plan.Create)), nil, false},
		"no image":             {step(plan.EnsureImage), nil, false},
		"interrupted":          {errors.New("interrupted before: create x"), nil, false},
		"held back":            {nil, func(p *plan.BottlePlan) { p.Partial = true }, false},
		"superseded":           {nil, func(p *plan.BottlePlan) { p.Desired.Generation = 0 }, false},
		"not declared":         {nil, func(p *plan.BottlePlan) { p.Desired = nil }, false},
		"a plan that can't be": {errors.New("its name is taken"), nil, false},
	} {
		b := newBench(t)
		p := plan.BottlePlan{Slug: "dev", Desired: &state.Bottle{Slug: "dev", Generation: 1}}
		if test.change != nil {
			test.change(&p)
		}
		if err := b.saveRecord(p, test.err); err != nil {
			t.Fatal(err)
		}
		if _, found, err := store.ReadRecord(b.Settings, "dev"); err != nil || found != test.written {
			t.Errorf("%s: recorded: %v, %v", name, found, err)
		}
	}
}

// TestRecordThatCantBeSaved is an error of its bottle.
func TestRecordThatCantBeSaved(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(filepath.Join(b.Settings.BottleDir("dev"), state.RecordFile, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	failed := b.Execute(t.Context(), plan.Plan{Bottles: []plan.BottlePlan{
		{Slug: "dev", Desired: &state.Bottle{Slug: "dev", Generation: 1}},
		{Slug: "other", Desired: &state.Bottle{Slug: "other", Generation: 1}},
	}})
	if failed["dev"] == nil || failed["other"] != nil {
		t.Errorf("%v", failed)
	}
}
