package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovals has an agent ask, by MCP clients in its container, and people decide by commands. Each decision is seen in what the agent is
// answered and can reach, in the manifest, in the containers and in the audit log.
func TestApprovals(t *testing.T) {
	t.Parallel()
	a, c := newAsking(t, "")
	for _, step := range []struct {
		name string
		do   func(*asking)
	}{
		{"an approved host can be reached", approveHost},
		{"a rejection says why", rejectHost},
		{"an edited change lasts as long as it says", approveEdited},
		{"the first of two operators decides", twoOperators},
		{"nobody approves what was not shown", changedUnderneath},
		{"an invalid manifest is not touched", invalidManifest},
		{"a secret is nowhere but in its file", giveSecret},
		{"what does not become ready is taken back", takenBack},
		{"so is a secret", takenBackSecret},
	} {
		t.Run(step.name, func(t *testing.T) { step.do(a.in(t)) })
	}
	restartedSupervise(a)
	killedController(a, c)
}

// approveHost: the host can be reached as soon as the agent is answered, and nothing is restarted.
func approveHost(a *asking) {
	const host = "ask.demo.example"
	before := a.content()
	a.refused(host)
	c := a.ask("mark3labs", queue.PipelockBlock, map[string]any{"url": "http://" + host + "/"})
	p := a.waits(host)
	a.Eventually(wellWithin, "the proposal is shown with its change, its reason and what was refused", func() (bool, string) {
		shown := a.Expect(exitDone, "proposals", "show", p.ID).Stdout
		return !slices.ContainsFunc([]string{
			"+    allowlist: [docs.demo.example, " + host + ":80]", "reload pipelock", "  | the build needs it", "GET " + host + ":80",
		}, func(part string) bool { return !strings.Contains(shown, part) }), shown
	})
	a.Expect(exitDone, "approve", p.ID, "--yes", "--note", "for this task")
	notes := a.answered(c, queue.Approved)
	a.reached(host)
	if !strings.Contains(notes, "for this task") {
		a.t.Errorf("the agent is told %q", notes)
	}
	a.changed(before, "allowlist: [docs.demo.example]", "allowlist: [docs.demo.example, "+host+":80]")
	a.sameContainers()
	a.audited(p, "approved", operator(a.t))
	a.answered(a.askHost(host), queue.Approved) // at once: nobody is asked again
}

// rejectHost: the agent is told why, and nothing changes.
func rejectHost(a *asking) {
	const host = "no.demo.example"
	before := a.content()
	c := a.askHost(host)
	p := a.waits(host)
	a.Expect(exitDone, "reject", p.ID, "--note", "use the mirror")
	if notes := a.answered(c, queue.Rejected); !strings.Contains(notes, "use the mirror") {
		a.t.Errorf("the agent is told %q", notes)
	}
	a.refused(host)
	a.changed(before, "", "")
	a.sameContainers()
	a.audited(p, "rejected", operator(a.t))
}

// editor is an EDITOR that runs a script of sed on the file.
func (a *asking) editor(script string) {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sed -i '"+script+"' \"$1\"\n"), 0o700); err != nil {
		a.t.Fatal(err)
	}
	a.Extra = append(slices.Clone(a.Extra), "EDITOR="+path, "VISUAL=")
}

// approveEdited: what the person saved is in force, a tunnel ends with its host, and the agent is told that it is not what it asked for.
func approveEdited(a *asking) {
	const host = "more.demo.example"
	before := a.content()
	c := a.ask("official", queue.PipelockBlock, map[string]any{"url": "https://" + host + "/"})
	p := a.waits(host)
	until := time.Now().UTC().Add(8 * time.Second).Format(time.RFC3339Nano)
	entry := fmt.Sprintf("{host: %s:443, until: %s}", host, until)
	a.editor("s/" + host + ":443\\]/" + entry + "]/")
	a.Expect(exitDone, "approve", p.ID, "--edit", "--yes")
	a.answered(c, queue.Modified)
	a.changed(before, "]\n    privateCIDRs", ", "+entry+"]\n    privateCIDRs")
	tunnel := streaming(a.t, a.Env, "https://"+host+"/stream")
	tunnel.flows(a.Env)
	tunnel.ends(1)
	if out, code := a.Agent("one", "fetch", "https://"+host+"/"); code == 0 || !strings.Contains(out, "403") {
		a.t.Errorf("%s is not refused (exit code %d):\n%s", host, code, out)
	}
	a.sameContainers()
	a.audited(p, "modified", operator(a.t))
}

// twoOperators: one of two decisions at once is made, and the other one hears whose it was.
func twoOperators(a *asking) {
	const host = "after.demo.example"
	c := a.askHost(host)
	p := a.waits(host)
	results := make(chan harness.Result, 2)
	for _, args := range [][]string{{"approve", p.ID, "--yes"}, {"reject", p.ID, "--note", "no"}} {
		go func() { results <- a.Bottled(args...) }()
	}
	first, second := <-results, <-results
	won, lost := first, second
	if first.Code != exitDone {
		won, lost = second, first
	}
	if won.Code != exitDone || lost.Code != exitFailed || !strings.Contains(lost.Stderr, "by "+operator(a.t)) {
		a.t.Errorf("two decisions: %+v and %+v", won, lost)
	}
	status, check := queue.Approved, a.reached
	if strings.Contains(won.Stdout, "rejected") {
		status, check = queue.Rejected, a.refused
	}
	a.answered(c, status)
	check(host)
	a.audited(p, string(status), operator(a.t))
}

// changedUnderneath: a decision about a file that has changed since is refused, and one about what it has now is made.
func changedUnderneath(a *asking) {
	const host = "changed.demo.example"
	c := a.askHost(host)
	p := a.waits(host)
	digest := a.review(p).Digest
	a.Write("one.yaml", strings.Replace(a.content(), "# Kept as it is.", "# Changed by somebody.", 1))
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes", "--digest", digest); !strings.Contains(r.Stderr, "proposals show") {
		a.t.Errorf("refused:\n%s", r.Stderr)
	}
	a.refused(host)
	a.Expect(exitDone, "approve", p.ID, "--yes", "--digest", a.review(p).Digest)
	a.answered(c, queue.Approved)
	if got := a.content(); !strings.HasPrefix(got, "# Changed by somebody.\n") || !strings.Contains(got, host) {
		a.t.Errorf("the manifest has:\n%s", got)
	}
	a.audited(p, "approved", operator(a.t))
}

// invalidManifest: nothing is written into a manifest that is invalid. Repaired, it can be.
func invalidManifest(a *asking) {
	const host = "invalid.demo.example"
	good := a.content()
	c := a.askHost(host)
	p := a.waits(host)
	bad := strings.Replace(good, "supervise: true", "supervize: true", 1)
	a.Write("one.yaml", bad)
	bottleIs(a.t, a.Env, "one", "invalid", func(b reconciler.BottleStatus) bool { return b.Reason == reconciler.ReasonInvalid })
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes"); !strings.Contains(r.Stderr, "repair it first") && !strings.Contains(r.Stderr, "supervize") {
		a.t.Errorf("refused:\n%s", r.Stderr)
	}
	if got := a.content(); got != bad {
		a.t.Errorf("the manifest has:\n%s", got)
	}
	a.Write("one.yaml", good)
	settledReady(a.t, a.Env, "one")
	a.Expect(exitDone, "approve", p.ID, "--yes")
	a.answered(c, queue.Approved)
	a.audited(p, "approved", operator(a.t))
}

// giveSecret: a route adds the secret to the agent's requests, and it is nowhere but in a file for the operator alone.
func giveSecret(a *asking) {
	const secret = "the-secret-9f2c41"
	c := a.ask("mark3labs", queue.SecretRequest, map[string]any{"name": "tracker", "upstream": "https://api.demo.example", "path": "/tracker/"})
	p := a.waits("tracker")
	input := filepath.Join(a.t.TempDir(), "secret")
	if err := os.WriteFile(input, []byte(secret+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.Expect(exitDone, "approve", p.ID, "--yes", "--secret-file", input, "--allow-new-upstream")
	a.answered(c, queue.Approved)
	if out, code := a.Agent("one", "fetch", "http://cred-proxy:9099/tracker/issues"); code != 0 || !strings.Contains(out, "Bearer "+secret) {
		a.t.Errorf("the route (exit code %d):\n%s", code, out)
	}
	file := filepath.Join(a.StateDir, "secrets", "one", "tracker")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		a.t.Errorf("%s: %v %v", file, info, err)
	}
	shown := a.content() + a.Bottled("proposals", "--all", "-o", "json").Stdout + a.Bottled("describe", "one").Stdout + a.Bottled("events", "one").Stdout +
		a.Docker("inspect", a.Name(state.Agent, "one"), a.Name(state.CredProxy, "one"), a.Name(state.Supervise, "one")) +
		strings.ReplaceAll(readAll(a.t, a.StateDir), secret+"\n", "")
	for _, c := range []state.ComponentName{state.Agent, state.CredProxy, state.Supervise, state.Pipelock} {
		shown += a.Docker("logs", a.Name(c, "one"))
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != secret+"\n" || strings.Count(readAll(a.t, a.StateDir), secret) != 1 || strings.Contains(shown, secret) {
		a.t.Errorf("the secret is elsewhere than in %s (%v):\n%s", file, err, shown)
	}
	a.audited(p, "approved", operator(a.t))
}

// takenBack: a bottle that can't be ready with what was approved gets its former manifest, and the agent is told.
func takenBack(a *asking) {
	const host = "late.demo.example"
	before := a.content()
	c := a.askHost(host)
	p := a.waits(host)
	a.editor("s/command: \\[agent\\]/command: [agent, --nonsense]/")
	r := a.Bottled("approve", p.ID, "--edit", "--yes")
	if r.Code != exitFailed || !strings.Contains(r.Stderr, "was approved, and the change was taken back") || !strings.Contains(r.Stderr, "--nonsense") {
		a.t.Errorf("approved: %+v", r)
	}
	a.changed(before, "", "")
	settledReady(a.t, a.Env, "one")
	<-c.done // the agent was replaced, and its call ended; its next life asks again
	a.answered(a.askHost(host), queue.Failed)
	a.refused(host)
	a.audited(p, "failed", operator(a.t))
}

// takenBackSecret: the agent's requests have the former secret again.
func takenBackSecret(a *asking) {
	const former = "the-secret-9f2c41" // of giveSecret
	before, file := a.content(), filepath.Join(a.StateDir, "secrets", "one", "tracker")
	slot := state.TokenSlot(route.SecretRef{File: file})
	c := a.ask("mark3labs", queue.SecretRequest, map[string]any{"name": slot, "upstream": "https://api.demo.example"})
	p := a.waits(slot)
	input := filepath.Join(a.t.TempDir(), "secret")
	if err := os.WriteFile(input, []byte("another-secret\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.editor("s/command: \\[agent\\]/command: [agent, --nonsense]/")
	if r := a.Bottled("approve", p.ID, "--edit", "--yes", "--secret-file", input); r.Code != exitFailed || !strings.Contains(r.Stderr, "was approved, and the change was taken back") {
		a.t.Errorf("approved: %+v", r)
	}
	<-c.done
	a.changed(before, "", "")
	settledReady(a.t, a.Env, "one")
	if data, err := os.ReadFile(file); err != nil || string(data) != former+"\n" {
		a.t.Errorf("%s has %q, %v", file, data, err)
	}
	if left, err := os.ReadDir(filepath.Join(a.StateDir, "approvals", "secrets")); err != nil || len(left) > 0 {
		a.t.Errorf("left behind: %v, %v", left, err)
	}
	if out, code := a.Agent("one", "fetch", "http://cred-proxy:9099/tracker/issues"); code != 0 || !strings.Contains(out, "Bearer "+former) {
		a.t.Errorf("the route (exit code %d):\n%s", code, out)
	}
	a.audited(p, "failed", operator(a.t))
}

// restartedSupervise: a proposal outlives the server that took it. The agent's next call joins it.
func restartedSupervise(a *asking) {
	const host = "restart.demo.example"
	first := a.askHost(host)
	p := a.waits(host)
	a.Docker("restart", "-t", "1", a.Name(state.Supervise, "one"))
	<-first.done
	if first.err == nil {
		a.t.Errorf("the call outlives its server:\n%s", first.out)
	}
	settledReady(a.t, a.Env, "one")
	second := a.ask("mark3labs", queue.PipelockBlock, map[string]any{"url": "http://" + host + "/", "justification": "once more"})
	if again := a.waits(host); again.ID != p.ID {
		a.t.Errorf("the agent's second call is another proposal: %s after %s", again.ID, p.ID)
	}
	a.Expect(exitDone, "approve", p.ID, "--yes")
	a.answered(second, queue.Approved)
	a.audited(p, "approved", operator(a.t))
}

// killedController: a decision that was being carried out is, by the next controller, and once.
func killedController(a *asking, c *harness.Controller) {
	const host = "kill.demo.example"
	before := a.content()
	asked := a.askHost(host)
	p := a.waits(host)
	a.ids = owned(a.Env)
	pid := a.Docker("inspect", "-f", "{{.State.Pid}}", a.Name(state.Pipelock, "one"))
	a.signal(pid, syscall.SIGSTOP) // it can't reload
	a.Expect(exitDone, "approve", p.ID, "--yes", "--no-wait")
	a.proposal(host, reconciler.ProposalApplying)
	a.Eventually(wellWithin, "the manifest has the change", func() (bool, string) { now := a.content(); return now != before, now })
	c.Signal(syscall.SIGKILL)
	c.Wait(wellWithin)
	a.signal(pid, syscall.SIGCONT)
	select {
	case <-asked.done:
		a.t.Errorf("the agent has an answer before the change is in force:\n%s", asked.out)
	default:
	}
	a.Controller("--resync", "1h").Ready()
	a.answered(asked, queue.Approved)
	a.changed(before, "]\n    privateCIDRs", ", "+host+":80]\n    privateCIDRs")
	a.sameContainers()
	a.audited(p, "approved", operator(a.t))
}

// signal sends a signal to a process of a container's.
func (a *asking) signal(pid string, s syscall.Signal) {
	a.t.Helper()
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = syscall.Kill(n, s)
	}
	if err != nil {
		a.t.Fatalf("send %s to process %s: %v (these tests need root)", s, pid, err)
	}
}
