package sim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

// vault prints a token, after a while, or fails.
type vault struct {
	mu     sync.Mutex
	takes  time.Duration
	prints string
	fails  error
	runs   int
}

func (v *vault) run(ctx context.Context, _ []string) ([]byte, error) {
	v.mu.Lock()
	v.runs++
	takes, prints, fails := v.takes, v.prints, v.fails
	v.mu.Unlock()
	select {
	case <-time.After(takes):
		return []byte(prints), fails
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// set changes what comes of the next run.
func (v *vault) set(prints string, fails error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.prints, v.fails = prints, fails
}

// withToken is a bottle whose token a command prints. Its program is one that every host has.
func withToken(slug, refresh string) v1alpha1.Bottle {
	b := full(slug)
	b.Spec.CredProxy.Routes[0].Token = route.SecretRef{Exec: []string{"/bin/sh", "token"}, Refresh: refresh}
	return b
}

// open has the controllers to come run the vault.
func (w *world) open(v *vault) {
	w.settings.TokenExec = []state.CommandPattern{{"/bin/sh", "token"}}
	w.commands = v.run
}

// token returns the token that cred-proxy of a bottle was given.
func (w *world) token(slug string) string {
	w.t.Helper()
	files, err := w.engine.Files(w.t.Context(), slug)
	if err != nil {
		w.t.Fatal(err)
	}
	var tokens []string
	for _, f := range files[w.settings.TokenDir(slug)] {
		tokens = append(tokens, string(f.Content.Reveal()))
	}
	return strings.Join(tokens, ",")
}

// ready waits, at most for a while, until bottles are reported as ready.
func (w *world) ready(most time.Duration, slugs ...string) {
	w.t.Helper()
	for deadline := time.Now().Add(most); ; w.pass(100 * time.Millisecond) {
		i := slices.IndexFunc(slugs, func(slug string) bool { s, _ := w.status(slug); return !s.Ready })
		if i < 0 {
			return
		}
		if time.Now().After(deadline) {
			s, _ := w.status(slugs[i])
			w.t.Fatalf("after %s: %+v", most, s)
		}
	}
}

// TestTokenCommand: a bottle waits for the first token; later ones reach cred-proxy without a new container; while the command fails
// the last one stays, with a condition that says so.
func TestTokenCommand(t *testing.T) {
	simulate(t, func(w *world) {
		v := &vault{takes: 20 * time.Second, prints: "one\n"}
		w.open(v)
		w.declare(withToken("a", "10m"), withToken("b", ""))
		w.run(nil)
		w.pass(10 * time.Second)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonNotReady || !s.IsTrue(reconciler.ConditionReconciling) || s.IsTrue(reconciler.ConditionStalled) ||
			!strings.Contains(s.Message, "sh has not printed the token yet") {
			t.Errorf("while the command runs: %+v", s)
		}
		w.ready(30*time.Second, "a", "b")
		if a, b := w.token("a"), w.token("b"); a != "one" || b != "one" || v.runs != 1 {
			t.Errorf("tokens %q and %q after %d runs", a, b, v.runs)
		}
		proxy, _ := w.hands.ID(name(state.CredProxy, "a"))

		v.set("two", nil)
		w.pass(10*time.Minute + 30*time.Second)
		if a, b := w.token("a"), w.token("b"); a != "two" || b != "two" {
			t.Errorf("refreshed tokens %q and %q", a, b)
		}
		v.set("", errors.New("exit code 6"))
		w.pass(11 * time.Minute)
		s, _ := w.status("a")
		if c := s.Condition(reconciler.ConditionTokenStale); c == nil || !s.Ready || w.token("a") != "two" ||
			!strings.Contains(c.Message, "routes[0].token is not refreshed since ") || !strings.Contains(c.Message, "sh: exit code 6") {
			t.Errorf("token %q while the command fails: %+v", w.token("a"), s)
		}
		v.set("three", nil)
		w.controller.Sync(false)
		w.pass(30 * time.Second)
		if s, _ := w.status("a"); s.Condition(reconciler.ConditionTokenStale) != nil || w.token("a") != "three" {
			t.Errorf("token %q after a sync: %+v", w.token("a"), s)
		}
		if id, running := w.hands.ID(name(state.CredProxy, "a")); id != proxy || !running {
			t.Error("cred-proxy was replaced for a token")
		}
	})
}

// TestTokenCommandFails has a bottle wait until a command succeeds for the first time, or is allowed.
func TestTokenCommandFails(t *testing.T) {
	simulate(t, func(w *world) {
		v := &vault{fails: errors.New("exit code 6")}
		w.open(v)
		w.declare(withToken("a", ""))
		w.run(nil)
		w.pass(10 * time.Second)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonFailed || !s.IsTrue(reconciler.ConditionStalled) || !strings.Contains(s.Message, "token: sh: exit code 6") {
			t.Errorf("after a failure: %+v", s)
		}
		v.set("one", nil)
		w.ready(time.Minute, "a")

		w.settings.TokenExec = nil
		w.run(nil)
		runs := v.runs
		w.pass(10 * time.Minute)
		if s, _ := w.status("a"); v.runs != runs || !strings.Contains(s.Message, "allow-token-exec") {
			t.Errorf("%d runs of a command that is not allowed: %+v", v.runs-runs, s)
		}
	})
}

// TestTokenOutlivesController: a controller that starts while the command fails goes on with the token that was delivered.
func TestTokenOutlivesController(t *testing.T) {
	simulate(t, func(w *world) {
		v := &vault{prints: "one"}
		w.open(v)
		b := withToken("a", "")
		w.declare(b)
		w.run(nil)
		w.ready(10*time.Second, "a")
		delivered := filepath.Join(w.settings.TokenDir("a"), state.TokenSlot(b.Spec.CredProxy.Routes[0].Token))
		if err := errors.Join(os.MkdirAll(filepath.Dir(delivered), 0o700), os.WriteFile(delivered, []byte("one"), 0o600)); err != nil {
			t.Fatal(err) // the engine in memory has its files in memory
		}
		v.set("", errors.New("exit code 6"))
		w.run(nil)
		w.pass(10 * time.Second)
		if err := w.hands.Kill(name(state.Agent, "a")); err != nil {
			t.Fatal(err)
		}
		w.ready(time.Minute, "a")
		if s, _ := w.status("a"); s.Condition(reconciler.ConditionTokenStale) == nil || w.token("a") != "one" {
			t.Errorf("token %q: %+v", w.token("a"), s)
		}
	})
}

// TestTokenCommandIsOnlyPlanned plans a bottle without running a command, and delivers nothing that it does not know.
func TestTokenCommandIsOnlyPlanned(t *testing.T) {
	simulate(t, func(w *world) {
		v := &vault{prints: "one"}
		w.open(v)
		w.declare(withToken("a", ""))
		r := w.reconciler(w.engine)
		r.TokenCommands = nil
		snapshot, _, err := w.source.Read()
		if err != nil {
			t.Fatal(err)
		}
		planned, err := r.Plan(w.t.Context(), snapshot, pass.Options{Prune: plan.PruneAll})
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		if err := planned.Write(&said, func(_, line string) string { return line }); err != nil {
			t.Fatal(err)
		}
		if v.runs != 0 || !strings.Contains(said.String(), "(from exec)") {
			t.Errorf("after %d runs:\n%s", v.runs, &said)
		}
		if failed := r.Execute(w.t.Context(), planned); failed["a"] == nil || !strings.Contains(failed["a"].Error(), "was only planned") || w.token("a") != "" {
			t.Errorf("%v, token %q", failed, w.token("a"))
		}
		r.TokenCommands = resolve.NewTokenCommands(v.run)
		if _, err := r.Once(w.t.Context(), snapshot, pass.Options{Prune: plan.PruneAll}); err != nil || v.runs != 1 || w.token("a") != "one" {
			t.Errorf("a single pass: %v, %d runs, token %q", err, v.runs, w.token("a"))
		}
	})
}
