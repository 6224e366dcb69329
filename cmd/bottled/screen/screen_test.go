package screen

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/queue"
)

var now = time.Date(2026, 11, 27, 12, 30, 0, 0, time.Local)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// fake is a backend that records what it is asked for. Its streams end at once.
type fake struct {
	asked       []string
	review      reconciler.Review
	description Description
	traffic     reconciler.BottleTraffic
	err         error
}

func (f *fake) FollowStatus(context.Context, func(reconciler.Status) error, func(error)) error {
	return nil
}

func (f *fake) FollowProposals(context.Context, func(service.Proposals) error, func(error)) error {
	return nil
}

func (f *fake) FollowActivity(context.Context, func(reconciler.Activity) error, func(error)) error {
	return nil
}

func (f *fake) FollowEvents(_ context.Context, bottle string, _ func(reconciler.Event) error, _ func(error)) error {
	f.note("events of %s", bottle)
	return nil
}

func (f *fake) FollowLogs(_ context.Context, bottle string, _ func(service.LogLine) error, _ func(error)) error {
	f.note("logs of %s", bottle)
	return nil
}

func (f *fake) Describe(context.Context, string) (Description, error) { return f.description, f.err }

func (f *fake) HostTraffic(context.Context, string) (reconciler.BottleTraffic, error) {
	return f.traffic, nil
}

func (f *fake) Review(_ context.Context, id string) (reconciler.Review, error) {
	f.note("review %s", id)
	return f.review, f.err
}

func (f *fake) Decide(_ context.Context, id string, d reconciler.DecisionRequest) (string, error) {
	f.note("decide %s approve=%t digest=%s for=%s notes=%q new=%t", id, d.Approve, d.Digest, d.For, d.Notes, d.AllowNewUpstream)
	return "carried out", f.err
}

func (f *fake) Allow(_ context.Context, bottle string, r reconciler.AllowRequest) (string, error) {
	f.note("allow %s %s for=%s notes=%q", bottle, r.Host, r.For, r.Notes)
	return "carried out", f.err
}

func (f *fake) Order(_ context.Context, to service.Target, order reconciler.Order) (string, error) {
	f.note("%s %s", order, to.Bottle)
	return "carried out", f.err
}

func (f *fake) Command(arguments ...string) *exec.Cmd {
	f.note("bottled %s", strings.Join(arguments, " "))
	return exec.Command("true")
}

func (f *fake) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

// screen is a screen under test: its context has ended, so that nothing is waited for.
type screen struct {
	*Model
	t       *testing.T
	backend *fake
}

func newScreen(t *testing.T, width, height int) *screen {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &fake{}
	s := &screen{New(ctx, f, func() time.Time { return now }), t, f}
	s.send(tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

// send has the screen take a message, and everything that follows from it.
func (s *screen) send(msg tea.Msg) {
	s.t.Helper()
	_, cmd := s.Update(msg)
	s.run(cmd)
}

func (s *screen) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	case tea.QuitMsg:
		s.backend.note("quit")
	case tea.RawMsg:
		s.backend.note("bell")
	default:
		s.send(msg)
	}
}

// press presses keys, separated by spaces; "type:TEXT" types a text.
func (s *screen) press(keys string) {
	s.t.Helper()
	for _, k := range strings.Fields(keys) {
		if typed, is := strings.CutPrefix(k, "type:"); is {
			for _, r := range typed {
				s.send(tea.KeyPressMsg{Code: r, Text: string(r)})
			}
			continue
		}
		s.send(keyOf(k))
	}
}

func keyOf(k string) tea.KeyPressMsg {
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "down": tea.KeyDown, "pgdown": tea.KeyPgDown, "end": tea.KeyEnd}
	if code, special := codes[k]; special {
		return tea.KeyPressMsg{Code: code}
	}
	if k == "ctrl+c" {
		return tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
}

// frame is what is shown, without looks. It has the terminal's size.
func (s *screen) frame() string {
	s.t.Helper()
	lines := strings.Split(ansi.Strip(s.View().Content), "\n")
	if len(lines) != s.height && s.height >= minHeight && s.width >= minWidth {
		s.t.Errorf("%d lines on a terminal of %d×%d", len(lines), s.width, s.height)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w > s.width {
			s.t.Errorf("line %d has %d cells of %d: %q", i, w, s.width, l)
		}
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (s *screen) shows(part string) {
	s.t.Helper()
	if f := s.frame(); !strings.Contains(f, part) {
		s.t.Errorf("no %q in:\n%s", part, f)
	}
}

func (s *screen) lacks(part string) {
	s.t.Helper()
	if f := s.frame(); strings.Contains(f, part) {
		s.t.Errorf("%q in:\n%s", part, f)
	}
}

// did fails unless the backend was asked for exactly this since the last call.
func (s *screen) did(want ...string) {
	s.t.Helper()
	if got := strings.Join(s.backend.asked, "\n"); got != strings.Join(want, "\n") {
		s.t.Errorf("the backend was asked for\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	s.backend.asked = nil
}

func ready(name string, since time.Duration) reconciler.BottleStatus {
	return reconciler.BottleStatus{
		Slug: name, Ready: true, Reason: reconciler.ReasonReady, Generation: 3, ObservedGeneration: 3, Labels: map[string]string{"team": "core"},
		Conditions: []reconciler.Condition{{Type: reconciler.ConditionReady, Status: "True", LastTransitionTime: ago(since)}},
		Components: []reconciler.ComponentStatus{
			{Component: state.Pipelock, State: engine.StateRunning, Ready: true},
			{Component: state.CredProxy, State: engine.StateRunning, Ready: true},
			{Component: state.Supervise, State: engine.StateRunning, Ready: true},
			{Component: state.Agent, State: engine.StateRunning, Ready: true},
		},
	}
}

func condition(kind, message string, since time.Duration) reconciler.Condition {
	return reconciler.Condition{Type: kind, Status: "True", Reason: "Because", Message: message, LastTransitionTime: ago(since)}
}

// sample is a fleet with one bottle of every kind.
func sample() Update {
	asks := ready("web", 26*time.Hour)
	asks.Proposals = &reconciler.WaitingProposals{Waiting: 1, Oldest: ago(4 * time.Minute)}
	asks.HostsUntil = now.Add(59 * time.Minute)
	broken := ready("importer", 3*time.Minute)
	broken.Ready, broken.Reason, broken.Message = false, reconciler.ReasonFailed, "pull image registry.example/importer:7: no such host"
	broken.Conditions = append(broken.Conditions, condition(reconciler.ConditionStalled, "", time.Minute))
	broken.Components[3] = reconciler.ComponentStatus{Component: state.Agent, State: "missing", Cause: "its image is missing"}
	loops := ready("looping", 2*time.Minute)
	loops.Ready, loops.Reason, loops.Message, loops.RetryAt = false, reconciler.ReasonCrashing, "agent ended with exit code 1 after 2s", now.Add(40*time.Second)
	loops.Components[3] = reconciler.ComponentStatus{Component: state.Agent, State: engine.StateExited, Restarts: 4}
	done := ready("nightly", 5*time.Hour)
	done.Reason, done.Labels = reconciler.ReasonCompleted, map[string]string{"team": "ops"}
	done.Components[3].Phase, done.Components[3].Ended = reconciler.PhaseCompleted, &reconciler.Ending{At: ago(5 * time.Hour)}
	stopped := ready("parked", 49*time.Hour)
	stopped.Reason, stopped.Labels = reconciler.ReasonSuspend, nil
	rejected := ready("review", time.Hour)
	rejected.Conditions = append(rejected.Conditions, condition(reconciler.ConditionCredentialRejected, "route /api/ (api.example): the upstream answered 401", 9*time.Minute))
	changing := ready("docs", 20*time.Second)
	changing.Ready, changing.Reason, changing.ObservedGeneration = false, reconciler.ReasonNotReady, 2
	changing.Conditions = append(changing.Conditions, condition(reconciler.ConditionReconciling, "", 20*time.Second))
	changing.Components[1].Cause, changing.Components[1].Ready = "serves another configuration", false
	return Update{
		Status: &reconciler.Status{
			Controller: &reconciler.ControllerStatus{Owner: "alice", Revision: "main@sha1:1f0c2d3e", Syncs: 1, Engine: reconciler.EngineStatus{Reachable: true}},
			Bottles:    []reconciler.BottleStatus{ready("api", time.Hour), changing, broken, loops, done, stopped, rejected, asks},
		},
		Proposals: &service.Proposals{Proposals: []reconciler.Proposal{hostProposal(), {
			ID: "20261127-secret99aaaa", Bottle: "api", Tool: queue.SecretRequest, Asked: ago(40 * time.Second), Summary: "a secret for https://git.example", Justification: "to push the branch",
			State: reconciler.ProposalApplying, Message: "waits for cred-proxy",
		}}},
		Activity: &reconciler.Activity{Bottles: map[string]reconciler.BottleActivity{
			"web": {
				CPU: 1.52, Memory: 812 << 20, MemoryLimit: 2 << 30, Requests: 310, Denied: 12,
				Components: []reconciler.ComponentActivity{{Component: state.Agent, CPU: 1.5, Memory: 800 << 20, MemoryLimit: 1 << 30}, {Component: state.Pipelock, CPU: 0.02, Memory: 12 << 20}},
			},
			"review": {CPU: 0.03, Memory: 90 << 20, MemoryLimit: 1 << 30, Requests: 4, Rejection: &reconciler.Rejection{Status: "401", Time: ago(9 * time.Minute)}},
		}},
	}
}

func hostProposal() reconciler.Proposal {
	return reconciler.Proposal{
		ID: "20261127-k3x9abcdefgh", Bottle: "web", Tool: queue.PipelockBlock, Asked: ago(4 * time.Minute), Expires: now.Add(23 * time.Hour),
		Summary: "allow registry.npmjs.org:443", Justification: "npm install needs the registry; the build fails without it", State: reconciler.ProposalWaiting,
	}
}

func hostReview() reconciler.Review {
	return reconciler.Review{
		Proposal: hostProposal(), File: "/home/alice/bottles/web.yaml", Digest: "d1",
		Diff:    "--- web.yaml\n+++ web.yaml\n@@ -7,3 +7,3 @@\n   egress:\n-    allowlist: [github.com:443]\n+    allowlist: [github.com:443, registry.npmjs.org:443]\n",
		Refused: []reconciler.RefusedRequest{{Time: ago(5 * time.Minute), Component: "pipelock", Request: "CONNECT registry.npmjs.org:443", Reason: "not in allowlist", Count: 12}},
		Plan:    []string{"reload pipelock: allowlist changed; nothing restarts"}, Warnings: []string{"anybody can publish there"},
	}
}

// webDescription is what is known of the bottle web.
func webDescription() Description {
	return Description{
		Spec: v1alpha1.Spec{
			Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow("github.com:443", "proxy.golang.org")},
			CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Path: "/api/", Upstream: "https://api.example/v1"}}},
		},
		Denied: []service.Observed{{Entry: "registry.npmjs.org", Port: 443, Reason: "domain not in allowlist", Count: 12, Last: ago(5 * time.Minute)}, {Reason: "request body contains secret", Count: 1, Last: ago(time.Hour)}},
		Lines:  []report.Line{{}, {Text: "Declaration"}, {Text: "  manifest    /home/alice/bottles/web.yaml"}},
	}
}

func webTraffic() reconciler.BottleTraffic {
	return reconciler.BottleTraffic{
		Hosts: []reconciler.HostTraffic{
			{Host: "github.com", Port: 443, Allowed: 4012, Sent: 3 << 20, Received: 1 << 30, Last: ago(time.Second)},
			{Host: "evil.example", Port: 8443, Denied: 7, Codes: map[string]uint64{"host_not_allowed": 7}, Last: ago(time.Minute)},
		},
		Routes: []reconciler.RouteTraffic{{Route: "/api/", Upstream: "api.example", Requests: 90, Failed: 2, Sent: 1 << 10, Received: 5 << 20, Statuses: map[string]uint64{"2xx": 88, "429": 2}, Last: ago(time.Minute)}},
	}
}

// opened is the bottle web with everything that is known of it.
func opened(t *testing.T, width, height int) *screen {
	t.Helper()
	s := newScreen(t, width, height)
	s.backend.description, s.backend.traffic = webDescription(), webTraffic()
	s.send(sample())
	s.fleet.selected = "bottle web"
	s.press("enter")
	s.did("events of web")
	s.send(Update{Bottle: "web", Events: []reconciler.Event{
		{Time: ago(26 * time.Hour), Type: reconciler.EventNormal, Reason: reconciler.EventDeclared, Message: "declared first"},
		{Time: ago(27 * time.Minute), Type: reconciler.EventNormal, Reason: reconciler.EventStepDone, Component: state.Pipelock, Message: "reloaded: allowlist changed, git 1f0c2d3e"},
		{Time: ago(time.Minute), Type: reconciler.EventWarning, Reason: reconciler.EventCrashed, Component: state.Agent, Message: "exit code 137", Count: 3, First: ago(4 * time.Minute), RetryAt: now.Add(30 * time.Second)},
	}, Lines: []service.LogLine{
		logged(state.Agent, 3*time.Minute, "npm ERR! network request failed"),
		logged(state.Pipelock, 3*time.Minute-time.Second, `{"level":"warn","role":"pipelock","event":"egress","action":"deny","method":"CONNECT","host":"registry.npmjs.org","port":443,"status":403,"reason":"domain not in allowlist: registry.npmjs.org","run":"R","number":1}`),
		logged(state.Agent, time.Minute, "still here"),
	}})
	return s
}

func logged(c state.ComponentName, since time.Duration, line string) service.LogLine {
	return service.LogLine{Target: service.Target{Bottle: "web", Component: c}, LogLine: engine.LogLine{At: ago(since), Text: []byte(line)}}
}

// sizes are those of the golden frames.
var sizes = [][2]int{{60, 12}, {100, 30}, {200, 60}}

// TestFrames has every view at three sizes.
func TestFrames(t *testing.T) {
	for _, size := range sizes {
		frames := map[string]func() *screen{
			"fleet": func() *screen { s := newScreen(t, size[0], size[1]); s.send(sample()); return s },
			"grouped": func() *screen {
				s := newScreen(t, size[0], size[1])
				s.send(sample())
				s.fleet.view.Fold = true
				s.press("L tab")
				return s
			},
			"review": func() *screen {
				s := newScreen(t, size[0], size[1])
				s.backend.review = hostReview()
				s.send(sample())
				s.press("enter")
				return s
			},
			"approve": func() *screen {
				s := newScreen(t, size[0], size[1])
				s.backend.review = hostReview()
				s.send(sample())
				s.press("h type:for_this_task")
				return s
			},
			"overview":    func() *screen { return opened(t, size[0], size[1]) },
			"events":      func() *screen { s := opened(t, size[0], size[1]); s.press("2"); return s },
			"logs":        func() *screen { s := opened(t, size[0], size[1]); s.press("3"); return s },
			"traffic":     func() *screen { s := opened(t, size[0], size[1]); s.press("4"); return s },
			"declaration": func() *screen { s := opened(t, size[0], size[1]); s.press("5"); return s },
			"session":     func() *screen { s := opened(t, size[0], size[1]); s.press("enter"); return s },
			"help":        func() *screen { s := newScreen(t, size[0], size[1]); s.send(sample()); s.press("?"); return s },
		}
		for name, of := range frames {
			golden.Check(t, fmt.Sprintf("testdata/%s-%dx%d.golden", name, size[0], size[1]), of().frame())
		}
	}
}
