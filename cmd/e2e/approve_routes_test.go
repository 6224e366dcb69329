package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovedRoutes: the agent gets the routes that it asks for; a token's new upstream needs a word of its own; and a policy beside the manifests
// narrows what the bottle's own rule approves.
func TestApprovedRoutes(t *testing.T) {
	t.Parallel()
	a, _ := newAsking(t, "  approvals: {auto: [{tool: pipelock-block, hosts: [\"*.rule.demo.example\"], max: 5}]}\n")
	a.Write("policy.yaml", `apiVersion: bottled/v1alpha1
kind: ApprovalPolicy
metadata: {name: team}
spec:
  auto: [{tool: pipelock-block, hosts: [one.rule.demo.example]}]
`)
	a.Expect(exitDone, "sync")
	second := a.askHost("two.rule.demo.example")
	p := a.waits("two.rule.demo.example")
	a.answered(a.askHost("one.rule.demo.example"), queue.Approved)
	a.Expect(exitDone, "reject", p.ID, "--note", "the policy does not allow it")
	a.answered(second, queue.Rejected)

	a.ids = owned(a.Env)
	declared := route.Route{Path: "/api/", Upstream: "https://api.demo.example", Token: route.SecretRef{File: "./certs/token"}}
	ask := func(routes ...map[string]any) *call {
		t.Helper()
		return a.ask("official", queue.CredProxyBlock, map[string]any{"routes": routes})
	}
	current := func() map[string]any {
		t.Helper()
		return a.currentRoutes()[0]
	}
	if got := current(); got["path"] != declared.Path || got["upstream"] != declared.Upstream {
		t.Fatalf("the agent is shown %v", got)
	}
	further := current()
	further["path"], further["methods"] = "/read/", []string{"GET"}
	c := ask(current(), further)
	p = a.waits("routes")
	if r := a.review(p); len(r.Dangers) > 0 || !strings.Contains(r.Diff, "+      - path: /read/") {
		t.Errorf("%+v", r)
	}
	a.Expect(exitDone, "approve", p.ID, "--yes")
	a.answered(c, queue.Approved)
	if out, code := a.Agent("one", "fetch", "http://cred-proxy:9099/read/x"); code != 0 || !strings.Contains(out, "Bearer ") {
		t.Errorf("the route (exit code %d):\n%s", code, out)
	}
	a.audited(p, "approved", operator(t))

	elsewhere := current()
	elsewhere["upstream"] = "https://docs.demo.example"
	c = ask(elsewhere)
	p = a.waits("routes")
	if r := a.Expect(exitFailed, "approve", p.ID, "--yes"); !strings.Contains(r.Stderr, "--allow-new-upstream") {
		t.Errorf("not refused:\n%s", r.Stderr)
	}
	a.Expect(exitDone, "approve", p.ID, "--yes", "--allow-new-upstream")
	a.answered(c, queue.Approved)
	if text := a.content(); !strings.Contains(text, "https://docs.demo.example") || strings.Contains(text, "/read/") {
		t.Errorf("the manifest has:\n%s", text)
	}
	a.Expect(exitDone, "audit", "--verify")
}

// currentRoutes are the routes that the agent is shown.
func (a *asking) currentRoutes() []map[string]any {
	a.t.Helper()
	out, code := a.Agent("one", "tools", "http://supervise:9100", "list-current-config", "{}")
	var shown struct {
		Routes []map[string]any `json:"routes"`
	}
	if err := json.Unmarshal([]byte(out), &shown); code != 0 || err != nil || len(shown.Routes) == 0 {
		a.t.Fatalf("list-current-config: %d, %v\n%s", code, err, out)
	}
	return shown.Routes
}
