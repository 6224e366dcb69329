package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// asking is a bottle "one" whose agent asks, with an upstream that answers under several names.
type asking struct {
	*harness.Env
	t        *testing.T
	manifest string // its path
	ids      string // of its containers
}

// askedHosts are names of the upstream that are not on the allowlist at first.
var askedHosts = []string{"ask.demo.example", "more.demo.example", "auto.demo.example", "after.demo.example"}

// newAsking starts a controller with arguments, and a bottle whose manifest has more below spec.
func newAsking(t *testing.T, more string, args ...string) (*asking, *harness.Controller) {
	t.Helper()
	a := &asking{Env: harness.New(t), t: t}
	prepareCertsOf(t, a.Env, append([]string{"api.demo.example", "docs.demo.example"}, askedHosts...)...)
	m := strings.Replace(trafficManifest(a.Env, "docs.demo.example"), "  supervise: true\n", "  supervise: true\n"+more, 1)
	m = strings.Replace(m, "env: {GREETING: hello}",
		"env: {SSL_CERT_FILE: /certs/ca.pem}\n    mounts: [{source: ./certs/ca.pem, target: /certs/ca.pem, readOnly: true}]", 1)
	a.manifest = a.Write("one.yaml", "# Kept as it is.\n"+m)
	c := a.Controller(append([]string{"--resync", "1h"}, args...)...).Ready()
	settledReady(t, a.Env, "one")
	startUpstreamAs(t, a.Env, askedHosts...)
	a.ids = owned(a.Env)
	return a, c
}

// in is the bottle as a subtest uses it.
func (a *asking) in(t *testing.T) *asking {
	t.Helper()
	return &asking{Env: a.In(t), t: t, manifest: a.manifest, ids: owned(a.Env)}
}

// call is an agent's call of a tool that waits for its answer.
type call struct {
	tool queue.Tool
	done chan struct{}
	out  []byte
	err  error
	took time.Time // when it has returned
}

// ask has the agent call a tool from inside its container, and does not wait for the answer.
func (a *asking) ask(client string, tool queue.Tool, arguments map[string]any) *call {
	a.t.Helper()
	if _, ok := arguments["justification"]; !ok {
		arguments["justification"] = "the build needs it"
	}
	text, err := json.Marshal(arguments)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &call{tool: tool, done: make(chan struct{})}
	cmd := a.DockerCommand("exec", a.Name(state.Agent, "one"), "/bottled-demo", "tools", "--client", client, "http://supervise:9100", string(tool), string(text))
	go func() {
		defer close(c.done)
		c.out, c.err = cmd.CombinedOutput()
		c.took = time.Now()
	}()
	a.t.Cleanup(func() {
		select {
		case <-c.done:
		case <-time.After(2 * time.Minute):
			a.t.Errorf("the call of %s does not end", tool)
		}
	})
	return c
}

func (a *asking) askHost(host string) *call {
	a.t.Helper()
	return a.ask("official", queue.PipelockBlock, map[string]any{"url": "http://" + host + "/"})
}

// answered waits for the agent's answer, which must have a status, and returns its notes.
func (a *asking) answered(c *call, status queue.Status) (notes string) {
	a.t.Helper()
	select {
	case <-c.done:
	case <-time.After(wellWithin):
		a.t.Fatalf("the agent's call of %s has no answer; the proposals:\n%s", c.tool, a.Bottled("proposals", "--all").Stdout)
	}
	var got struct {
		Status queue.Status `json:"status"`
		Notes  string       `json:"notes"`
	}
	if err := errors.Join(c.err, json.Unmarshal(c.out, &got)); err != nil || got.Status != status {
		a.t.Errorf("the agent is answered %v, want %s:\n%s", err, status, c.out)
	}
	return got.Notes
}

// waits waits until a proposal waits whose summary has a text.
func (a *asking) waits(summary string) (p reconciler.Proposal) {
	a.t.Helper()
	return a.proposal(summary, reconciler.ProposalWaiting)
}

// proposal waits for a proposal in a state.
func (a *asking) proposal(summary string, state reconciler.ProposalState) (found reconciler.Proposal) {
	a.t.Helper()
	a.Eventually(wellWithin, fmt.Sprintf("a proposal with %q is %s", summary, state), func() (bool, string) {
		r := a.Bottled("proposals", "--all", "-o", "json")
		var got struct {
			Proposals []reconciler.Proposal `json:"proposals"`
		}
		if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
			return false, r.Stdout + r.Stderr
		}
		for _, p := range got.Proposals {
			if strings.Contains(p.Summary, summary) && p.State == state {
				found = p
				return true, ""
			}
		}
		return false, r.Stdout
	})
	return found
}

// review is what a person is shown of a proposal.
func (a *asking) review(p reconciler.Proposal) (r reconciler.Review) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.Expect(exitDone, "proposals", "show", p.ID, "-o", "json").Stdout), &r); err != nil {
		a.t.Fatal(err)
	}
	return r
}

// content is what the manifest has.
func (a *asking) content() string {
	a.t.Helper()
	data, err := os.ReadFile(a.manifest)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(data)
}

// changed fails the test unless the manifest has what it had before, but for one text.
func (a *asking) changed(before, old, now string) {
	a.t.Helper()
	if got, want := a.content(), strings.Replace(before, old, now, 1); got != want || !strings.Contains(before, old) {
		a.t.Errorf("the manifest has:\n%s\nwant:\n%s", got, want)
	}
}

// reached fails the test unless the agent gets an answer of a host, through pipelock.
func (a *asking) reached(host string) {
	a.t.Helper()
	if out, code := a.Agent("one", "fetch", "http://"+host+"/"); code != 0 || !strings.Contains(out, `"host":"`+host+`"`) {
		a.t.Errorf("%s is not reached (exit code %d):\n%s", host, code, out)
	}
}

// refused fails the test unless pipelock refuses a host to the agent.
func (a *asking) refused(host string) {
	a.t.Helper()
	if out, code := a.Agent("one", "fetch", "http://"+host+"/"); code == 0 || !strings.Contains(out, "403") {
		a.t.Errorf("%s is not refused (exit code %d):\n%s", host, code, out)
	}
}

// sameContainers fails the test if a container is another one than before.
func (a *asking) sameContainers() {
	a.t.Helper()
	if now := owned(a.Env); now != a.ids {
		a.t.Errorf("containers were replaced: %s, now %s", a.ids, now)
	}
}

// audited fails the test unless the audit log ends with this decision about a proposal, has no other one that counted, and is intact.
func (a *asking) audited(p reconciler.Proposal, action, by string) {
	a.t.Helper()
	var found []queue.Record
	data, err := os.ReadFile(filepath.Join(a.StateDir, "audit", "one.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var r queue.Record
		if json.Unmarshal([]byte(line), &r) == nil && r.Kind == "decision" && r.Proposal == p.ID {
			found = append(found, r)
		}
	}
	if len(found) == 0 || found[len(found)-1].Action != action || found[len(found)-1].Who != by {
		a.t.Errorf("the audit log has of proposal %s, which is %s by %s:\n%+v", p.ID, action, by, found)
	}
	for _, r := range found[:max(0, len(found)-1)] {
		if r.Action != queue.ActionVoid {
			a.t.Errorf("proposal %s was decided more than once:\n%+v", p.ID, found)
		}
	}
	a.Expect(exitDone, "audit", "--verify")
}

// operator is the name by which the socket knows who runs the tests.
func operator(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
