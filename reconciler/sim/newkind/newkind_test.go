// Package newkind shows that a new component is one package and one line: a sidecar that the product does not have is registered,
// rendered, planned, and started on the engine in memory.
package newkind

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/component/testdata/noop"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

func init() {
	kinds.All = kinds.All.With(noop.Kind) // the one line
}

const builtinRef = "bottled:0123456789abcdef"

func settingsIn(dir string) state.Settings {
	return state.Settings{
		Owner: "o", Prefix: "p", StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Pool: state.DefaultPool,
		BuiltinImage: builtinRef, User: "65532:65532",
	}
}

// bottle has pipelock, an agent, and if it says so the new sidecar.
func bottle(noop string) v1alpha1.Bottle {
	return v1alpha1.Bottle{
		Metadata: v1alpha1.Metadata{Name: "dev", Labels: map[string]string{"noop": noop}},
		Source:   v1alpha1.Source{Path: "/etc/bottles/dev.yaml", Line: 1},
		Spec:     v1alpha1.Spec{Agent: &v1alpha1.Agent{Image: "agent:1"}},
	}
}

func TestRender(t *testing.T) {
	settings := settingsIn("/var/lib/x")
	nets := state.Subnets{Internal: netip.MustParsePrefix("10.213.1.0/28"), Egress: netip.MustParsePrefix("10.213.1.16/28")}
	b, err := render.Bottle(bottle("yes"), resolve.Inputs{}, nets, settings)
	if err != nil {
		t.Fatal(err)
	}
	var names []state.ComponentName
	for _, c := range b.Components {
		names = append(names, c.Name)
	}
	if want := []state.ComponentName{state.Pipelock, "noop", state.Agent}; !slices.Equal(names, want) {
		t.Fatalf("components %v, want %v", names, want)
	}
	c, agent := b.Components[1].Container, b.Components[2].Container
	if c.Name != "p-noop-dev" || c.Image != builtinRef || c.Labels[state.LabelHash] != c.Hash() || c.Limits != noop.Kind.Limits || c.User == "" || !c.ReadOnlyRoot {
		t.Errorf("the sidecar is %+v", c)
	}
	if diff := cmp.Diff([]state.Attachment{{Network: "p-net-dev", Aliases: []string{"noop"}}}, c.Networks); diff != "" {
		t.Errorf("its networks (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sidecar", "noop", "run", "--config-dir", noop.ConfigDir, "--internal-subnet", "10.213.1.0/28"}, c.Command); diff != "" {
		t.Errorf("its command (-want +got)\n%s", diff)
	}
	if agent.Env["NOOP_URL"] != "http://noop:9200" || !slices.ContainsFunc(agent.Mounts, func(m state.Mount) bool { return m.Target == noop.AgentDir && m.ReadOnly }) {
		t.Errorf("the agent has %v and %v", agent.Env, agent.Mounts)
	}
	i := slices.IndexFunc(b.Dirs, func(d state.Dir) bool { return filepath.Base(d.Path) == "pipelock" })
	config, err := pipelockconf.Parse(b.Dirs[i].Files[filepath.Base(pipelock.ConfigFile)].Content.Reveal())
	if err != nil || !slices.Equal(config.APIAllowlist, []string{"noop"}) || !pipelockconf.IsOwnName("noop") {
		t.Errorf("allowed is %v (%v)", config, err)
	}
	without, err := render.Bottle(bottle("no"), resolve.Inputs{}, nets, settings)
	if err != nil || len(without.Components) != 2 || without.Components[1].Container.Env["NOOP_URL"] != "" {
		t.Errorf("a bottle that does not need it: %+v, %v", without.Components, err)
	}
}

// Manifests can't use the sidecar's name and its place in the agent.
func TestReserved(t *testing.T) {
	for text, want := range map[string]string{
		"egress: {allowlist: [noop]}": `"noop" is a part of the bottle itself`,
		"agent: {image: a, mounts: [{source: /srv/x, target: /run/noop/inside}]}": `"/run/noop/inside" is in a place that bottled or the kernel fills`,
	} {
		path := filepath.Join(t.TempDir(), "b.yaml")
		if err := os.WriteFile(path, []byte("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: b}\nspec:\n  "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		snapshot, err := source.Load(path)
		if err != nil || len(snapshot.Problems) != 1 || !strings.Contains(snapshot.Problems[0].Error(), want) {
			t.Errorf("%s: %v, %v, want %q", text, snapshot.Problems, err, want)
		}
	}
}

// builtin loads the sidecars' image.
type builtin struct{}

func (builtin) Load(ctx context.Context, e engine.Engine) error {
	return e.LoadImage(ctx, strings.NewReader(builtinRef))
}

// TestConverge makes a pass: the sidecar starts when pipelock is ready, and the agent when it is.
func TestConverge(t *testing.T) {
	settings := settingsIn(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		runs := fake.New(fake.Options{
			Settings: settings, Latency: time.Millisecond, Program: program, Images: map[string]engine.ImageDefaults{"agent:1": {Command: []string{"sleep"}}},
		})
		var calls []string // of what starts and becomes ready, when it has succeeded
		e := engine.Intercept(runs, func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
			err := next(ctx)
			if err == nil && (c.Verb == "start_container" || c.Verb == "wait_ready") {
				calls = append(calls, c.Verb+" "+nameOf(t, runs, c.Object))
			}
			return err
		})
		cache := observe.OpenCache(filepath.Join(settings.StateDir, "cache.json"))
		r := &pass.Reconciler{
			Settings: settings, Observer: observe.Observer{Engine: e, Settings: settings, Cache: cache, Routes: func() ([]netip.Prefix, error) { return nil, nil }},
			Executor: &execute.Executor{
				Engine: e, Settings: settings, Cache: cache, BuiltinImage: builtin{}, Parallel: 1, Timeout: time.Minute, OnProgress: func(execute.Progress) {},
			},
		}
		snapshot := source.Snapshot{Bottles: []v1alpha1.Bottle{bottle("yes")}}
		result, err := r.Once(t.Context(), snapshot, pass.Options{Prune: plan.PruneGuarded})
		if err != nil || len(result.Failed) > 0 {
			t.Fatal(result.Failed, err)
		}
		if verbs := verbsOf(result.Plan, "p-noop-dev"); !slices.Equal(verbs, []plan.Action{plan.Create, plan.Start}) {
			t.Errorf("the plan: %v", verbs)
		}
		want := []string{
			"start_container p-pipelock-dev", "wait_ready p-pipelock-dev", "start_container p-noop-dev", "wait_ready p-noop-dev",
			"start_container p-agent-dev", "wait_ready p-agent-dev",
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("order (-want +got)\n%s", diff)
		}
		again, err := r.Plan(t.Context(), snapshot, pass.Options{Prune: plan.PruneGuarded, Deep: true})
		if err != nil || again.Changes() {
			t.Errorf("left to do: %+v, %v", again, err)
		}
		snapshot.Bottles[0] = bottle("no")
		again, err = r.Plan(t.Context(), snapshot, pass.Options{Prune: plan.PruneGuarded})
		if verbs := verbsOf(again, "p-noop-dev"); err != nil || !slices.Equal(verbs, []plan.Action{plan.Remove}) {
			t.Errorf("when it is not needed any more: %v, %v", verbs, err)
		}
	})
}

// program reports, as a sidecar does, the digest of the configuration that it mounts.
func program(c state.Container) fake.Program {
	target := map[string]string{"noop": noop.ConfigDir, string(state.Pipelock): pipelock.ConfigDir}[c.Labels[state.LabelRole]]
	if target == "" {
		return fake.Program{}
	}
	return fake.Program{Boot: 100 * time.Millisecond, Config: func(mounted map[string]map[string][]byte) (string, error) {
		return configdigest.Of(mounted[target]), nil
	}}
}

func nameOf(t *testing.T, e *fake.Engine, id string) string {
	t.Helper()
	for _, name := range e.Hands().Names() {
		if its, _ := e.Hands().ID(name); its == id {
			return name
		}
	}
	t.Errorf("no container %s", id)
	return id
}

// verbsOf are the steps of a plan that concern one object, in order.
func verbsOf(p plan.Plan, object string) []plan.Action {
	var verbs []plan.Action
	for _, b := range p.Bottles {
		for _, s := range b.Steps {
			if s.Object == object {
				verbs = append(verbs, s.Action)
			}
		}
	}
	return verbs
}
