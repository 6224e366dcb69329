package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/credproxy"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
)

// decided is a scenario of the approvals' fault matrix.
type decided struct {
	name    string
	tool    queue.Tool // unset: pipelock-block
	payload string
	request reconciler.DecisionRequest
	prepare func(w *world)
	status  queue.Status // of the answer; a fault may make it failed
	// has is what the manifest, the Dockerfile or the file of a secret has once if the answer is of this status; "" where all stay as they were.
	has string
	// few: of the faults, only crashes and lost answers, which leave most behind.
	few bool
}

func (s decided) faults() []fault {
	if s.few {
		return []fault{loseAnswer, crashBefore, crashAfter}
	}
	return faults
}

const dockerfile = "FROM scratch\n"

var decidedScenarios = []decided{
	{name: "approved", payload: "https://registry.npmjs.org/", request: approveIt, status: queue.Approved, has: "registry.npmjs.org"},
	{name: "rejected", few: true, payload: "https://registry.npmjs.org/", request: reconciler.DecisionRequest{Notes: "no"}, status: queue.Rejected},
	{name: "taken back", few: true, payload: "https://registry.npmjs.org/", request: approveIt, prepare: (*world).dislikeNPM, status: queue.Failed},
	{name: "in force", few: true, payload: "https://example.com/", request: approveIt, status: queue.Approved},
	{
		name: "routes", few: true, tool: queue.CredProxyBlock, request: approveIt, status: queue.Approved, has: "methods:",
		payload: `{"routes":[{"path":"/anthropic/","upstream":"https://api.anthropic.com","token_slot":"env-TOKEN","methods":["GET"]}]}`,
	},
	{
		name: "secret", few: true, tool: queue.SecretRequest, payload: `{"name":"github","upstream":"https://api.github.com"}`,
		request: reconciler.DecisionRequest{Approve: true, Secret: "a-secret"}, status: queue.Approved, has: "path: /github/",
	},
	{
		name: "secret taken back", few: true, tool: queue.SecretRequest, payload: `{"name":"github","upstream":"https://api.github.com"}`,
		request: reconciler.DecisionRequest{Approve: true, Secret: "a-bad-secret"}, prepare: (*world).dislikeBadSecrets, status: queue.Failed,
	},
	{
		name: "secret in place of another", tool: queue.SecretRequest, payload: `{"name":"github","upstream":"https://api.github.com"}`,
		request: reconciler.DecisionRequest{Approve: true, Secret: "a-secret"}, prepare: (*world).haveSecret, status: queue.Approved, has: "a-secret",
	},
	{
		name: "secret in place of another taken back", few: true, tool: queue.SecretRequest, payload: `{"name":"github","upstream":"https://api.github.com"}`,
		request: reconciler.DecisionRequest{Approve: true, Secret: "a-bad-secret"}, status: queue.Failed, prepare: func(w *world) {
			w.haveSecret()
			w.dislikeBadSecrets()
		},
	},
	{name: "Dockerfile", few: true, tool: queue.CapabilityBlock, payload: dockerfile + "LABEL a=1\n", request: approveIt, status: queue.Approved, has: "LABEL a=1"},
}

// dislikeNPM has pipelock refuse a configuration that allows npm's registry.
func (w *world) dislikeNPM() {
	w.program = func(name state.ComponentName, p *fake.Program) {
		if config := p.Config; name == state.Pipelock {
			p.Config = func(mounted map[string]map[string][]byte) (string, error) {
				for _, content := range mounted["/etc/pipelock"] {
					if strings.Contains(string(content), "npmjs") {
						return "", errors.New("it does not like npm")
					}
				}
				return config(mounted)
			}
		}
	}
}

// dislikeBadSecrets has cred-proxy refuse a configuration with a token that is called bad.
func (w *world) dislikeBadSecrets() {
	w.program = func(name state.ComponentName, p *fake.Program) {
		if config := p.Config; name == state.CredProxy {
			p.Config = func(mounted map[string]map[string][]byte) (string, error) {
				for _, content := range mounted[credproxy.TokenDir] {
					if strings.Contains(string(content), "bad") {
						return "", errors.New("it does not like the secret")
					}
				}
				return config(mounted)
			}
		}
	}
}

// haveSecret has bottle a have a secret that a person gave earlier.
func (w *world) haveSecret() {
	file := w.githubSecret()
	if err := owndir.Save(file, []byte("the-first\n")); err != nil {
		w.t.Fatal(err)
	}
	w.files.save(w.t, "a.yaml", withSecret(w.files.text(w.t), file))
}

// withSecret adds a route to a manifest, with a token in a file.
func withSecret(manifest, file string) string {
	const routes = "    routes:\n"
	return strings.Replace(manifest, routes, routes+"      - {path: /github/, upstream: https://api.github.com, methods: [GET], token: {file: "+file+"}}\n", 1)
}

func (w *world) githubSecret() string { return filepath.Join(w.settings.SecretDir("a"), "github") }

// files are the manifest, the Dockerfile and the secret that the agent asks for, if there is one, as one text.
func (s decided) files(w *world) string {
	dockerfile, err := os.ReadFile(w.files.path("image/Dockerfile"))
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := os.ReadFile(w.githubSecret())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return w.files.text(w.t) + string(dockerfile) + string(secret)
}

// aroundDesk lets the injector's fault happen at what the desk writes, too.
func (i *injector) aroundDesk(write approve.Write, do func() error) error {
	if i.fault == hang {
		return do() // no file system that is worth having does
	}
	return i.around(context.Background(), engine.Call{Verb: "desk", Object: string(write)}, func(context.Context) error { return do() })
}

// play has a proposal decided about under a fault, and returns an error when the outcome is not as it must be.
func (s decided) play(w *world, dir string, i *injector) error {
	if err := os.Mkdir(filepath.Join(dir, "image"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "image", "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	w.useFiles(dir, map[string]string{"a.yaml": strings.Replace(supervised, "image: agent:1", "build: {context: image}", 1)})
	if s.prepare != nil {
		s.prepare(w)
	}
	var id string
	answers, early := 0, error(nil)
	answered := func(write approve.Write, do func() error) error {
		if p := w.controller.Proposals(); write == approve.WriteAnswer && p[0].Decision.Status != queue.Failed {
			snapshot, _, err := w.files.Read()
			early = errors.Join(early, err, w.planned(snapshot))
		}
		fresh := write == approve.WriteAnswer && w.answerTo(id) == nil
		err := do()
		if fresh && err == nil {
			answers++
		}
		return err
	}
	w.aroundDesk = func(write approve.Write, do func() error) error {
		return i.aroundDesk(write, func() error { return answered(write, do) })
	}
	w.run(i.around)
	if err := w.settled(10 * time.Second); err != nil {
		return err
	}
	before := s.files(w)
	id = w.ask(cmp.Or(s.tool, queue.PipelockBlock), s.payload)
	w.pass(2 * time.Second)
	i.armed.Store(true)
	err := w.controller.Decide(w.t.Context(), "anna", id, s.request)
	w.pass(5 * time.Second)
	if i.isCrashed() {
		err = nil // nobody is there to hear it
		w.aroundDesk = answered
		w.run(nil)
		w.pass(5 * time.Second)
	}
	for try := 0; w.answerTo(id) == nil; try++ { // an operator whose decision was not accepted, or is void, makes it again
		if try == 400 {
			return fmt.Errorf("no answer: %+v", w.controller.Proposals())
		}
		if p := w.proposal(id); p.State == reconciler.ProposalWaiting {
			err = w.controller.Decide(w.t.Context(), "anna", id, s.request)
		}
		w.pass(3 * time.Second)
	}
	if early != nil {
		return fmt.Errorf("answered before the bottle was as decided: %w", early)
	}
	return errors.Join(s.check(w, id, answers, before), err)
}

// keptSecrets are the files with the secrets of decisions under way.
func (w *world) keptSecrets() []os.DirEntry {
	entries, err := os.ReadDir(filepath.Join(w.settings.ApprovalsDir(), "secrets"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return entries
}

// check compares the outcome with the answer that the agent got.
func (s decided) check(w *world, id string, answers int, before string) error {
	answer, after := w.answerTo(id), s.files(w)
	final := 0
	for _, r := range w.decisions() {
		if r.Action == string(answer.Status) {
			final++
		}
	}
	changed := answer.Status == s.status && s.has != ""
	switch {
	case answers > 1:
		return fmt.Errorf("answered %d times", answers)
	case answer.Status != s.status && answer.Status != queue.Failed:
		return fmt.Errorf("it is %s", answer.Status)
	case changed && (strings.Count(after, s.has) != 1 || !strings.Contains(after, s.request.Secret)), !changed && after != before:
		return fmt.Errorf("it is %s, and the files are\n%s", answer.Status, after)
	case final != 1:
		return fmt.Errorf("%d records of the decision: %+v", final, w.decisions())
	case len(w.keptSecrets()) > 0:
		return fmt.Errorf("secrets are left behind: %v", w.keptSecrets())
	}
	return w.settled(time.Minute)
}

// TestApprovalFaults injects every fault into every call of the engine and everything that the desk writes, from a decision on.
func TestApprovalFaults(t *testing.T) {
	for _, s := range decidedScenarios {
		t.Run(s.name, func(t *testing.T) {
			n := s.calls(t)
			var passed, total atomic.Int64
			t.Run("faults", func(t *testing.T) {
				for at := int64(1); at <= n; at++ {
					for _, f := range s.faults() {
						t.Run(fmt.Sprintf("%s at call %d", f, at), func(t *testing.T) {
							t.Parallel()
							total.Add(1)
							if s.inject(t, f, at); !t.Failed() {
								passed.Add(1)
							}
						})
					}
				}
			})
			t.Logf("approval faults: %s: %d calls, %d/%d passed", s.name, n, passed.Load(), total.Load())
		})
	}
}

// calls counts the calls of a scenario without a fault.
func (s decided) calls(t *testing.T) (n int64) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		i := newInjector("", -1)
		if err := s.play(w, dir, i); err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		n = i.calls.Load()
	})
	return n
}

func (s decided) inject(t *testing.T, f fault, at int64) {
	dir := t.TempDir()
	simulate(t, func(w *world) {
		i := newInjector(f, at)
		if err := s.play(w, dir, i); err != nil {
			t.Errorf("%s (%s %s): %v", f, i.hit.Verb, i.hit.Object, err)
		}
	})
}
