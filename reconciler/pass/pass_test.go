package pass

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/store"
)

// blank is an engine on which nothing exists but images, and which refuses to make networks.
type blank struct {
	*fake.Engine
	refuses error

	mu       sync.Mutex
	attempts int
}

func (b *blank) CreateNetwork(_ context.Context, n state.Network) (engine.ObservedNetwork, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts++
	return engine.ObservedNetwork{}, fmt.Errorf("network %s: %w", n.Name, b.refuses)
}

// bench is a reconciler on a blank engine, with one manifest.
type bench struct {
	*Reconciler
	engine *blank
	token  string
	reads  int // of the token
	m      source.Snapshot
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{token: "a"}
	s := state.Settings{
		Owner: "o", Prefix: "p", StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Pool: state.DefaultPool, User: "65532:65532",
		BuiltinImage: "bottled:1",
	}
	b.engine = &blank{refuses: engine.ErrNotFound, Engine: fake.New(fake.Options{Settings: s, Images: map[string]engine.ImageDefaults{"agent": {}, "bottled:1": {}}})}
	cache := observe.OpenCache(filepath.Join(dir, "cache.json"))
	b.Reconciler = &Reconciler{
		Settings: s,
		Observer: observe.Observer{Engine: b.engine, Settings: s, Cache: cache, Routes: func() ([]netip.Prefix, error) { return nil, nil }},
		Executor: &execute.Executor{Engine: b.engine, Settings: s, Cache: cache, Parallel: 1, Timeout: time.Second, OnProgress: func(execute.Progress) {}},
		Getenv: func(name string) (string, bool) {
			b.reads++
			return b.token, name == "TOKEN" && b.token != ""
		},
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	b.m.Bottles = []v1alpha1.Bottle{{
		Metadata: v1alpha1.Metadata{Name: "dev"}, Source: v1alpha1.Source{Path: "/etc/bottles/dev.yaml", Line: 1},
		Spec: v1alpha1.Spec{
			CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Path: "/x/", Upstream: "https://example.com", Token: route.SecretRef{Env: "TOKEN"}}}},
			Agent:     &v1alpha1.Agent{Image: "agent", Mounts: []v1alpha1.Mount{{Source: work, Target: "/work"}}},
		},
	}}
	return b
}

// plan plans the only bottle.
func (b *bench) plan(t *testing.T) plan.BottlePlan {
	t.Helper()
	p, err := b.Plan(t.Context(), b.m, Options{Slug: "dev"})
	if err != nil || len(p.Bottles) != 1 {
		t.Fatalf("%d bottles, %v", len(p.Bottles), err)
	}
	return p.Bottles[0]
}

func (b *bench) expectReads(t *testing.T, what string) {
	t.Helper()
	if b.reads != 1 {
		t.Errorf("%s: the token was read %d times", what, b.reads)
	}
	b.reads = 0
}

// TestInputsAreReadOnceAPass, also where they were read before, to see whether a pass is needed.
func TestInputsAreReadOnceAPass(t *testing.T) {
	b := newBench(t)
	if p := b.plan(t); p.Err != nil {
		t.Fatal(p.Err)
	}
	b.expectReads(t, "a pass")
	changed, err := b.InputsChanged(b.m.Bottles[0], safepath.Set{})
	if changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	b.expectReads(t, "a look whether something changed")
	b.token = "b"
	if changed, err := b.InputsChanged(b.m.Bottles[0], safepath.Set{}); !changed || err != nil {
		t.Errorf("the token changed: %v, %v", changed, err)
	}
	b.plan(t)
	b.expectReads(t, "a look that finds something, and its pass")
	if changed, err := b.InputsChanged(b.m.Bottles[0], safepath.Set{}); changed || err != nil {
		t.Errorf("the pass did not take the new token: %v, %v", changed, err)
	}
	b.reads = 0
	b.plan(t)
	b.expectReads(t, "the next pass")
}

// TestUnreadableInputs: the bottle is kept as it was declared last, and its agent is not started when its mount is refused.
func TestUnreadableInputs(t *testing.T) {
	b := newBench(t)
	b.token = ""
	if p := b.plan(t); p.Err == nil || !strings.Contains(p.Err.Error(), "dev.yaml:1: ") || !strings.Contains(p.Err.Error(), "TOKEN is not set") {
		t.Errorf("nothing was declared before: %v", p.Err)
	}
	b.token = "a"
	b.Declare(b.m)
	before := b.plan(t)
	b.token = ""
	b.m.Bottles[0].Spec.Supervise = true
	b.Declare(b.m)
	p := b.plan(t)
	if p.Err != nil || p.Stale == nil || !strings.Contains(p.Stale.Error(), "it is kept as it was declared last") || p.Graph() != before.Graph() {
		t.Errorf("%v, %v\n%s", p.Err, p.Stale, p.Graph())
	}
	if p.Desired.Generation != 1 || b.Generation("dev") != 2 {
		t.Errorf("generation %d of %d", p.Desired.Generation, b.Generation("dev"))
	}
	if err := os.Remove(b.m.Bottles[0].Spec.Agent.Mounts[0].Source); err != nil {
		t.Fatal(err)
	}
	for _, s := range b.plan(t).Steps {
		if s.Action == plan.Start && s.Component == state.Agent {
			t.Error("the agent is started without its mount")
		}
	}
}

// TestInvalidManifest: a process that knows nothing takes what is recorded.
func TestInvalidManifest(t *testing.T) {
	b := newBench(t)
	b.Declare(b.m)
	p := b.plan(t)
	p.Desired.Generation = 4
	if err := store.SaveRecord(b.Settings, *p.Desired); err != nil {
		t.Fatal(err)
	}
	b.Forget("dev")
	b.m = source.Snapshot{Problems: []parse.Problem{{File: "dev.yaml", Slug: "dev"}}}
	b.Declare(b.m)
	kept := b.plan(t)
	if kept.Err != nil || !errors.Is(kept.Stale, reconciler.ErrInvalid) || kept.Graph() != p.Graph() || kept.Desired.Generation != 4 {
		t.Errorf("%v, %v, generation %d\n%s", kept.Err, kept.Stale, kept.Desired.Generation, kept.Graph())
	}
}

// TestInterruptedBetweenAttempts ends the context while a pass waits to be made again.
func TestInterruptedBetweenAttempts(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		began := time.Now()
		ended := make(chan error, 1)
		go func() {
			result, err := b.Once(ctx, b.m, Options{})
			ended <- errors.Join(err, result.Failed["dev"])
		}()
		synctest.Wait()
		interrupt()
		err := <-ended
		if took := time.Since(began); took > 0 || !errors.Is(err, execute.ErrStale) {
			t.Errorf("it took %s: %v", took, err)
		}
	})
	if b.engine.attempts != 2 {
		t.Errorf("%d networks were tried, want 2", b.engine.attempts)
	}
}

// TestStalePassIsMadeAgain as often as is worth it.
func TestStalePassIsMadeAgain(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		result, err := b.Once(t.Context(), b.m, Options{})
		if err != nil || !errors.Is(result.Failed["dev"], engine.ErrNotFound) {
			t.Errorf("%v, %v", err, result.Failed)
		}
	})
	if b.engine.attempts != 2*Attempts {
		t.Errorf("%d networks were tried, want 2 in each of %d attempts", b.engine.attempts, Attempts)
	}
}
