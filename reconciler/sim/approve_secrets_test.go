package sim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// askSecret asks for the secret github and waits until the controller knows.
func (w *world) askSecret() string {
	w.t.Helper()
	id := w.ask(queue.SecretRequest, `{"name":"github","upstream":"https://api.github.com"}`)
	w.pass(100 * time.Millisecond)
	return id
}

// secretIn returns what a file has; "" where there is none.
func (w *world) secretIn(file string) string {
	w.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// TestStraySecret: a crash between the secret and its decision leaves nothing, though nobody decides again.
func TestStraySecret(t *testing.T) {
	approvals(t, func(t *testing.T, w *world) {
		dead := false
		w.aroundDesk = func(write approve.Write, do func() error) error {
			if dead = dead || write == approve.WriteDecision; dead {
				return errors.New("killed")
			}
			return do()
		}
		w.run(nil)
		w.settle(10 * time.Second)
		id := w.askSecret()
		if err := w.controller.Decide(t.Context(), "anna", id, reconciler.DecisionRequest{Approve: true, Secret: "a-secret"}); err == nil {
			t.Error("a decision that is not on file was accepted")
		}
		if kept := w.keptSecrets(); len(kept) != 1 {
			t.Fatalf("kept: %v", kept)
		}
		w.aroundDesk = nil
		w.run(nil)
		w.settle(time.Minute)
		if kept, secret := w.keptSecrets(), w.secretIn(w.githubSecret()); len(kept) != 0 || secret != "" || w.proposal(id).State != reconciler.ProposalWaiting {
			t.Errorf("kept: %v, %q, %+v", kept, secret, w.proposal(id))
		}
	})
}

// TestSecretOfAVoidDecision goes with it, unless somebody has declared a route with it.
func TestSecretOfAVoidDecision(t *testing.T) {
	for name, c := range map[string]struct {
		names bool
		want  string
	}{
		"the manifest says something else": {false, ""},
		"the manifest names the secret":    {true, "a-secret\n"},
	} {
		t.Run(name, func(t *testing.T) {
			approvals(t, func(t *testing.T, w *world) {
				text := strings.Replace(supervised, "example.com", "example.org", 1)
				if c.names {
					text = withSecret(text, w.githubSecret())
				}
				w.aroundDesk = func(write approve.Write, do func() error) error {
					if write == approve.WriteManifest {
						w.files.save(t, "a.yaml", text)
					}
					return do()
				}
				w.run(nil)
				w.settle(10 * time.Second)
				id := w.askSecret()
				w.decide(id, reconciler.DecisionRequest{Approve: true, Secret: "a-secret"})
				w.pass(10 * time.Second)
				if a, p := w.answerTo(id), w.proposal(id); a != nil || p.State != reconciler.ProposalWaiting {
					t.Errorf("%+v, %+v", a, p)
				}
				if secret := w.secretIn(w.githubSecret()); secret != c.want || len(w.keptSecrets()) > 0 {
					t.Errorf("the secret is %q; kept: %v", secret, w.keptSecrets())
				}
			})
		})
	}
}

// TestSecretInAFileOfAPerson is replaced there, and is as before if the bottle does not become ready with it, unless somebody has changed it.
func TestSecretInAFileOfAPerson(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("the-first"), 0o640); err != nil {
		t.Fatal(err)
	}
	simulate(t, func(w *world) {
		t := w.t
		w.useFiles(dir, map[string]string{"a.yaml": withSecret(supervised, file)})
		w.dislikeBadSecrets()
		w.run(nil)
		w.settle(10 * time.Second)
		for _, step := range []struct {
			give, meanwhile, want string
			edited                bool
			status                queue.Status
		}{
			{give: "a-bad-secret", want: "the-first", status: queue.Failed},
			{give: "a-bad-secret-with-more", edited: true, want: "the-first", status: queue.Failed},
			{give: "a-good-secret", want: "a-good-secret\n", status: queue.Approved},
			{give: "another-bad-secret", meanwhile: "bad-of-a-person", want: "bad-of-a-person", status: queue.Failed},
		} {
			id := w.ask(queue.SecretRequest, `{"name":"`+state.TokenSlot(route.SecretRef{File: file})+`","upstream":"https://api.github.com"}`)
			w.pass(100 * time.Millisecond)
			request := reconciler.DecisionRequest{Approve: true, Secret: step.give}
			if step.edited {
				manifest := strings.Replace(w.files.text(t), "example.com", "example.org", 1)
				request.Edited = &manifest
			}
			w.decide(id, request)
			if step.meanwhile != "" {
				for w.secretIn(file) != step.give+"\n" {
					w.pass(time.Millisecond)
				}
				if err := os.WriteFile(file, []byte(step.meanwhile), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			a := w.awaitAnswer(id, 10*time.Minute)
			if taken := strings.Contains(a.Notes, "taken back"); strings.Contains(a.Notes, "get the secret") != (a.Status == queue.Approved) || a.Status != step.status || taken != (a.Status == queue.Failed && step.meanwhile == "") {
				t.Errorf("%s: %+v", step.give, a)
			}
			if info, err := os.Stat(file); w.secretIn(file) != step.want || err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%s: %q, %v, %v", step.give, w.secretIn(file), info, err)
			}
			if step.meanwhile == "" {
				w.settle(10 * time.Minute)
			}
			if token := w.token("a"); !strings.Contains(token, strings.TrimSpace(step.want)) || len(w.keptSecrets()) > 0 {
				t.Errorf("%s: cred-proxy has %q; kept: %v", step.give, token, w.keptSecrets())
			}
		}
	})
}
