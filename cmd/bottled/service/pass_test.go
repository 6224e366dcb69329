package service

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// fakeEngine is an engine in memory on this host.
type fakeEngine struct{ *fake.Engine }

func (fakeEngine) SharedPaths(context.Context) ([]string, error) { return nil, nil }
func (fakeEngine) Close() error                                  { return nil }

// agentManifest declares a bottle of an agent and no sidecar but pipelock.
const agentManifest = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: one}\nspec:\n  agent: {image: 'agent:1', command: [wait]}\n"

// newService is a service on an engine in memory, and a directory with a manifest.
func newService(t *testing.T) (s *Service, log *bytes.Buffer, e *fake.Engine, dir string) {
	t.Helper()
	root := t.TempDir()
	s = &Service{Settings: Settings{
		Owner: "me", Prefix: "p", StateDir: filepath.Join(root, "state"), RunDir: filepath.Join(root, "run"), SubnetPool: state.DefaultPool.String(),
		Images: map[state.ComponentName]*string{
			state.Pipelock: new("pipelock:1"), state.CredProxy: new("cred-proxy:1"), state.Supervise: new("supervise:1"),
		},
		Parallel: 4, Timeout: 5 * time.Second,
	}}
	log = &bytes.Buffer{}
	s.Log = zerolog.New(zerolog.SyncWriter(log))
	images := map[string]engine.ImageDefaults{}
	for _, image := range []string{"agent:1", "pipelock:1", "cred-proxy:1", "supervise:1"} {
		images[image] = engine.ImageDefaults{Command: []string{"wait"}}
	}
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	e = fake.New(fake.Options{Settings: settings, Images: images, Program: func(c state.Container) fake.Program {
		if c.Labels[state.LabelRole] == string(state.Agent) {
			return fake.Program{Says: []string{"hello"}}
		}
		return fake.Program{Health: "healthy"}
	}})
	s.OpenEngine = func(state.Settings) (Engine, error) { return fakeEngine{e}, nil }
	dir = filepath.Join(root, "manifests")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(agentManifest), 0o600)); err != nil {
		t.Fatal(err)
	}
	return s, log, e, dir
}

// attachment is a user who sees how a program ends.
type attachment struct{}

func (attachment) Stdin() bool                { return false }
func (attachment) Terminal() *engine.Terminal { return nil }
func (attachment) Converse(ctx context.Context, p engine.Process) (int, error) {
	return p.Wait(ctx)
}

// TestLifeOfABottle plans a bottle, makes it, reads its status and logs, runs a command and a session, and deletes it.
func TestLifeOfABottle(t *testing.T) {
	s, log, _, dir := newService(t)
	ctx := t.Context()
	snapshot, err := s.Load([]string{dir})
	if err != nil || len(snapshot.Bottles) != 1 || len(snapshot.Problems) > 0 {
		t.Fatalf("%+v, %v", snapshot, err)
	}
	options := pass.Options{Prune: plan.PruneGuarded}
	planned, err := s.Plan(ctx, snapshot, options)
	if err != nil || !planned.Changes() || planned.Settings.ImageSetting(state.Pipelock) != "pipelock:1" {
		t.Fatalf("plan of something new: %+v, %v", planned, err)
	}
	result, err := s.Reconcile(ctx, snapshot, options, nil)
	if err != nil || len(result.Failed) > 0 || len(result.Bottles) != 1 || !result.Bottles[0].Ready {
		t.Fatalf("pass: %+v, %v", result, err)
	}
	if !strings.Contains(log.String(), `"message":"bottle done"`) || !strings.Contains(log.String(), `"component":"agent"`) {
		t.Errorf("log: %s", log)
	}
	if planned, err = s.Plan(ctx, snapshot, options); err != nil || planned.Changes() {
		t.Errorf("plan after the pass: %+v, %v", planned, err)
	}
	source, err := s.StatusSource()
	if err != nil {
		t.Fatal(err)
	}
	if status, err := source.Get(ctx); err != nil || status.Controller != nil || len(status.Bottles) != 1 || !status.Bottles[0].Ready {
		t.Errorf("status: %+v, %v", status, err)
	}
	if lines, err := logged(t, s, LogsOptions{Of: []Target{{Bottle: "one"}}}); err != nil || !slices.Equal(lines, []string{"one/agent: hello"}) {
		t.Errorf("logs: %q, %v", lines, err)
	}
	if code, err := s.Exec(ctx, Target{"one", state.Agent}, []string{"true"}, attachment{}); err != nil || code != 0 {
		t.Errorf("exec: %d, %v", code, err)
	}
	if code, err := s.Session(ctx, "one", []string{"sh"}, func() (Attachment, func()) { return ending{}, func() {} }); err != nil || code != 0 {
		t.Errorf("session: %d, %v", code, err)
	}
	deleted, err := s.Delete(ctx, nil, nil)
	if err != nil || !slices.Equal(deleted, []Deletion{{Bottle: "one"}}) {
		t.Errorf("delete: %+v, %v", deleted, err)
	}
	if deleted, err := s.Delete(ctx, nil, nil); err != nil || len(deleted) > 0 {
		t.Errorf("delete of nothing: %+v, %v", deleted, err)
	}
}

func TestMissingBottle(t *testing.T) {
	s, _, e, _ := newService(t)
	ctx := t.Context()
	for what, do := range map[string]func() error{
		"delete":  func() error { _, err := s.Delete(ctx, []string{"one"}, nil); return err },
		"exec":    func() error { _, err := s.Exec(ctx, Target{"one", state.Agent}, nil, attachment{}); return err },
		"logs":    func() error { return s.Logs(ctx, LogsOptions{Of: []Target{{Bottle: "one"}}}, nil) },
		"session": func() error { _, err := s.Session(ctx, "one", nil, nil); return err },
	} {
		if err, want := do(), reconciler.NoBottle("one", nil); !errors.Is(err, reconciler.ErrNoBottle) || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for what, do := range map[string]func() error{
		`no bottle of claude-bottle is there`:                func() error { _, err := s.Import([]string{t.TempDir()}); return err },
		`read manifests in /no/such/directory: no such file`: func() error { _, err := s.Validate(t.Context(), []string{"/no/such/directory"}); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
	e.SetDown(true)
	for what, do := range map[string]func() error{
		"plan":   func() error { _, err := s.Plan(ctx, source.Snapshot{}, pass.Options{}); return err },
		"delete": func() error { _, err := s.Delete(ctx, nil, nil); return err },
		"exec":   func() error { _, err := s.Exec(ctx, Target{"one", state.Agent}, nil, attachment{}); return err },
		"logs":   func() error { return s.Logs(ctx, LogsOptions{Of: []Target{{Bottle: "one"}}}, nil) },
	} {
		if err := do(); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("%s without an engine: %v", what, err)
		}
	}
}
