// Package sim runs the real controller, executor and planner in process, on the engine in memory and a virtual clock.
package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/collect"
	"github.com/bot-bottle/bottled/reconciler/control"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/resolve"
)

const (
	owner  = "sim"
	prefix = "p"
	agent1 = "agent:1"
	agent2 = "agent:2"
	own    = "bottled:0123456789abcdef"
)

// world is an engine, the manifests, and the controller that is at work, if one is.
type world struct {
	t        *testing.T
	settings state.Settings
	engine   *fake.Engine
	hands    fake.Hands
	source   *declarations
	files    *directory        // of manifests, where they are files
	upstream *upstream         // where their changes are merged; nil where they are written
	prune    plan.PrunePolicy  // of the controller
	spoken   int               // statements that sidecars were made to write
	audited  bool              // the controller collects what the sidecars decide
	tasks    bool              // agents are to complete
	before   map[string]string // the volumes, with what stands for their content
	// commands are run for tokens.
	commands func(ctx context.Context, command []string) ([]byte, error)
	network  hostNetwork // on which the controller listens for agents
	// program may change what a component does.
	program func(name state.ComponentName, p *fake.Program)
	// programOfContainer may change what a container does; it is called at each start.
	programOfContainer func(c state.Container, p *fake.Program)

	metrics    prometheus.Gatherer // of the controller
	said       transcript          // all that the controller logged, and the messages of its statuses
	controller *control.Controller
	desk       *approve.Desk
	asked      chan string // receives the bottles whose agents have asked for something
	// aroundDesk, if given, stands between the next controller's desk and what it writes.
	aroundDesk func(write approve.Write, do func() error) error
	stop       func() // ends the controller and waits for it
}

// simulate runs a test on a world with a virtual clock.
func simulate(t *testing.T, test func(w *world)) {
	t.Helper()
	dir := t.TempDir() // outside the bubble: its removal is none of the test's
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		defer w.end()
		test(w)
	})
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{
		t: t, prune: plan.PruneGuarded, asked: make(chan string), source: &declarations{changes: make(chan struct{}, 1), bottles: map[string]v1alpha1.Bottle{}, gone: map[string]withdrawn{}},
		settings: state.Settings{
			Owner: owner, Prefix: prefix, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Pool: state.DefaultPool,
			BuiltinImage: own, User: "65532:65532",
		},
	}
	w.engine = fake.New(fake.Options{
		Settings: w.settings, Latency: time.Millisecond, EndShownAfter: 200 * time.Millisecond, PauseShownAfter: 5 * time.Millisecond,
		Images:  map[string]engine.ImageDefaults{agent1: {Command: []string{"sleep"}}, agent2: {Command: []string{"sleep"}}},
		Program: w.programOf,
	})
	w.hands = w.engine.Hands()
	return w
}

// programOf is what the components of a bottle do: sidecars report the digest of their files 100 ms after their start.
func (w *world) programOf(c state.Container) fake.Program {
	name := state.ComponentName(c.Labels[state.LabelRole])
	p := fake.Program{}
	if name != state.Agent && name != state.Session {
		p = fake.Program{Boot: 100 * time.Millisecond, Reload: 20 * time.Millisecond, Config: configOf(name)}
	}
	if w.program != nil {
		w.program(name, &p)
	}
	if w.programOfContainer != nil {
		w.programOfContainer(c, &p)
	}
	return p
}

func configOf(name state.ComponentName) func(map[string]map[string][]byte) (string, error) {
	target := map[state.ComponentName]string{state.Pipelock: "/etc/pipelock", state.CredProxy: "/etc/cred-proxy"}[name]
	return func(mounted map[string]map[string][]byte) (string, error) {
		if target == "" {
			return configdigest.Of(nil), nil
		}
		files, ok := mounted[target]
		if !ok {
			return "", fmt.Errorf("nothing is mounted at %s", target)
		}
		return configdigest.Of(files), nil
	}
}

// declarations is a source of manifests in memory.
type declarations struct {
	changes chan struct{}
	mu      sync.Mutex
	bottles map[string]v1alpha1.Bottle
	broken  map[string]string // by bottle: an invalid manifest, with the problem
	token   string            // of every route
	grace   time.Duration     // how long a bottle stays declared after its manifest is gone, as with a source.Reader
	gone    map[string]withdrawn
}

// withdrawn is a bottle whose manifest is gone.
type withdrawn struct {
	bottle v1alpha1.Bottle
	at     time.Time
}

func (s *declarations) Refresh(context.Context) {}

func (s *declarations) Read() (source.Snapshot, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var snapshot source.Snapshot
	for slug, b := range s.bottles {
		if problem := s.broken[slug]; problem != "" {
			snapshot.Problems = append(snapshot.Problems, parse.Problem{File: b.Source.Path, Slug: slug, Reason: problem})
			continue
		}
		snapshot.Bottles = append(snapshot.Bottles, b)
	}
	var again time.Duration
	for slug, w := range s.gone {
		if _, back := s.bottles[slug]; back || time.Since(w.at) >= s.grace {
			delete(s.gone, slug)
			continue
		}
		snapshot.Bottles, again = append(snapshot.Bottles, w.bottle), max(again, s.grace-time.Since(w.at))
	}
	slices.SortFunc(snapshot.Bottles, func(a, b v1alpha1.Bottle) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	return snapshot, again, nil
}

func (s *declarations) Changes() <-chan struct{} { return s.changes }

func (s *declarations) Follow([]string, safepath.Set) {}

func (s *declarations) Warnings() []string { return nil }

func (s *declarations) Revision() (string, error) { return "", nil }

// secret returns the token of every route.
func (s *declarations) secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.token, "secret")
}

// change changes the declarations.
func (s *declarations) change(do func(bottles map[string]v1alpha1.Bottle)) {
	s.mu.Lock()
	do(s.bottles)
	s.mu.Unlock()
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// full is a bottle of all components.
func full(slug string) v1alpha1.Bottle {
	return v1alpha1.Bottle{
		Metadata: v1alpha1.Metadata{Name: slug},
		Source:   v1alpha1.Source{Path: "/etc/bottles/" + slug + ".yaml", Line: 1},
		Spec: v1alpha1.Spec{
			Supervise: true,
			Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow("example.com")},
			CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{
				Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthScheme: "Bearer", Token: route.SecretRef{Env: "TOKEN"},
			}}},
			Agent: &v1alpha1.Agent{Image: agent1, Resources: v1alpha1.Resources{Memory: "1Gi", Pids: 100}},
		},
	}
}

// declare adds or replaces bottles.
func (w *world) declare(bottles ...v1alpha1.Bottle) {
	w.source.change(func(all map[string]v1alpha1.Bottle) {
		for _, b := range bottles {
			all[b.Metadata.Name] = b
		}
	})
}

// edit changes the declaration of bottle a.
func (w *world) edit(change func(*v1alpha1.Bottle)) {
	w.source.change(func(all map[string]v1alpha1.Bottle) {
		b := all["a"]
		change(&b)
		all["a"] = b
	})
}

// withdraw removes bottles from what is declared.
func (w *world) withdraw(slugs ...string) {
	w.source.change(func(all map[string]v1alpha1.Bottle) {
		for _, slug := range slugs {
			w.source.gone[slug] = withdrawn{all[slug], time.Now()}
			delete(all, slug)
		}
	})
}

// name is a container's name.
func name(component state.ComponentName, slug string) string {
	return prefix + "-" + string(component) + "-" + slug
}

// builtin loads the sidecars' image.
type builtin struct{}

func (builtin) Load(ctx context.Context, e engine.Engine) error {
	return e.LoadImage(ctx, strings.NewReader(own))
}

// reconciler makes one on the engine, as seen through a wrapper.
func (w *world) reconciler(e engine.Engine) *pass.Reconciler {
	cache := observe.OpenCache(filepath.Join(w.settings.StateDir, "cache.json"))
	return &pass.Reconciler{
		TokenCommands: resolve.NewTokenCommands(w.commands),
		Settings:      w.settings,
		Observer:      observe.Observer{Engine: e, Settings: w.settings, Cache: cache, Routes: func() ([]netip.Prefix, error) { return nil, nil }},
		Executor: &execute.Executor{
			Engine: e, Settings: w.settings, Cache: cache, BuiltinImage: builtin{}, Parallel: 4, Timeout: 30 * time.Second,
			OnProgress: w.progress,
		},
		Getenv:                func(string) (string, bool) { return w.source.secret(), true },
		HostReversePathFilter: func() (bool, error) { return true, nil },
	}
}

// run starts a controller. An interceptor, if given, stands between it and the engine.
func (w *world) run(around engine.Interceptor) *control.Controller {
	w.t.Helper()
	w.end()
	c := engine.Engine(w.engine)
	if around != nil {
		c = engine.Intercept(c, around)
	}
	registry, r := prometheus.NewRegistry(), w.reconciler(c)
	if w.audited {
		r.Executor.Audit = collect.NewCollector(c, w.settings, zerolog.New(&w.said))
	}
	w.metrics = registry
	w.desk = approve.New(approve.Config{
		Settings: w.settings, Manifests: w.deskManifests(), Timeout: approve.DefaultTimeout, Log: zerolog.New(&w.said),
		Around: w.aroundDesk, Watch: func() (approve.Watcher, error) { return queueWatcher{w.asked}, nil },
	})
	w.controller = control.NewController(control.ControllerConfig{
		Reconciler: r, Source: w.manifests(), Desk: w.desk, Prune: w.prune, Resync: 5 * time.Minute,
		Ports:   &ports.Server{Listen: w.network.listen, Open: w.openBridge, Budget: ports.NewBudget(100), Log: zerolog.New(&w.said)},
		Metrics: control.NewMetrics(registry), Registry: registry, Log: zerolog.New(&w.said), Identity: reconciler.ControllerStatus{Owner: owner},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.controller.Run(ctx)
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
	return w.controller
}

// progress notes why steps are done, and how they fail.
func (w *world) progress(p execute.Progress) {
	if p.Step != nil {
		fmt.Fprintf(&w.said, "%s %s (%s): %v\n", p.Step.Action, p.Step.Object, p.Step.Cause, p.Err)
	}
}

// end stops the controller, if one runs.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// status returns what the controller reports of a bottle.
func (w *world) status(slug string) (reconciler.BottleStatus, bool) {
	for _, b := range w.controller.Status().Bottles {
		if b.Slug == slug {
			return b, true
		}
	}
	return reconciler.BottleStatus{}, false
}

// pass lets virtual time pass, and what is due come to rest.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// settle waits, at most for a while, until every bottle that is declared is as declared and nothing else is there.
func (w *world) settle(most time.Duration) {
	w.t.Helper()
	if err := w.settled(most); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) settled(most time.Duration) error {
	step := 50 * time.Millisecond
	for deadline := time.Now().Add(most); ; step = min(step*5/4, 10*time.Second) {
		synctest.Wait()
		err := w.converged()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s: %w", most, err)
		}
		w.pass(step)
	}
}

// converged asks the controller whether it says so, and then a reconciler of its own, that knows nothing, whether anything is left to do.
func (w *world) converged() error {
	snapshot, _, err := w.manifests().Read()
	if err != nil {
		return err
	}
	if w.controller != nil {
		if err := w.reported(snapshot); err != nil {
			return err // the plan costs a hundred times as much
		}
	}
	return w.planned(snapshot)
}

// planned returns an error if a reconciler that knows nothing finds anything left to do.
func (w *world) planned(snapshot source.Snapshot) error {
	r := w.reconciler(w.engine)
	r.Observer.Cache = observe.OpenCache("/nonexistent")
	todo, err := r.Plan(w.t.Context(), snapshot, pass.Options{Prune: plan.PruneAll, Deep: true})
	if err != nil {
		return err
	}
	if !todo.Changes() {
		return nil
	}
	var text strings.Builder
	if err := todo.Write(&text, func(_, line string) string { return line }); err != nil {
		return err
	}
	return errors.New("left to do:\n" + text.String())
}

// reported compares the controller's status with what is declared.
func (w *world) reported(snapshot source.Snapshot) error {
	for _, b := range snapshot.Bottles {
		s, ok := w.status(b.Metadata.Name)
		want := reconciler.ReasonReady
		if b.Spec.Suspend {
			want = reconciler.ReasonSuspend
		} else if w.tasks && b.Spec.Agent != nil {
			want = reconciler.ReasonCompleted
		}
		if !ok || s.Reason != want {
			return fmt.Errorf("bottle %s is reported as %s (%s), want %s", b.Metadata.Name, s.Reason, s.Message, want)
		}
	}
	if all := w.controller.Status().Bottles; len(all) != len(snapshot.Bottles) {
		return fmt.Errorf("%d bottles are reported, %d are declared", len(all), len(snapshot.Bottles))
	}
	return nil
}
