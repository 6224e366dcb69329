package supervise

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/state/queue"
)

// callNow calls a tool that answers at once.
func callNow[Out any](b *bottle, tool string) (out Out, failure string) {
	b.t.Helper()
	result, err := b.connect("").CallTool(b.t.Context(), &mcp.CallToolParams{Name: tool})
	if err != nil {
		b.t.Fatal(err)
	}
	if result.IsError {
		return out, text(result)
	}
	data, err := json.Marshal(result.StructuredContent)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		b.t.Fatal(err)
	}
	return out, ""
}

func TestListCurrentConfig(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	want := configuration{
		Routes: []route.Entry{
			{Path: "/gh/", Upstream: "https://api.github.com", AuthScheme: "Bearer", TokenSlot: "env-GH"},
			{Path: "/npm/", Upstream: "https://registry.npmjs.org", AuthScheme: "Bearer", TokenSlot: "file-npm"},
		},
		Allowlist: []string{"*.npmjs.org", "api.github.com"}, PrivateCIDRs: []string{"192.168.7.0/24"}, Dockerfile: "FROM debian:12\n",
	}
	got, failure := callNow[configuration](b, listCurrentConfig)
	if diff := cmp.Diff(want, got); diff != "" || failure != "" {
		t.Errorf("%s (-want +got):\n%s", failure, diff)
	}

	// What the controller changes is there at once, and so is what it has no more.
	sidecartest.WriteFile(t, filepath.Join(b.current, "allowlist"), "a.example\n")
	if err := os.Remove(filepath.Join(b.current, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	want.Allowlist, want.Dockerfile = []string{"a.example"}, ""
	got, failure = callNow[configuration](b, listCurrentConfig)
	if diff := cmp.Diff(want, got); diff != "" || failure != "" {
		t.Errorf("after a change: %s (-want +got):\n%s", failure, diff)
	}
	failure = b.refused(queue.CapabilityBlock, map[string]any{"dockerfile": "FROM a\n", "justification": "j"})
	if !strings.Contains(failure, "is not built by bottled") {
		t.Errorf("a new image for an agent that is not ours: %s", failure)
	}

	// What can't be read is not passed over.
	sidecartest.WriteFile(t, filepath.Join(b.current, "routes.json"), "{")
	if _, failure = callNow[configuration](b, listCurrentConfig); !strings.Contains(failure, "routes.json") {
		t.Errorf("broken routes.json: %q", failure)
	}
	if failure = b.refused(queue.PipelockBlock, askURL("https://a.example")); !strings.Contains(failure, "routes.json") {
		t.Errorf("a proposal beside a broken routes.json: %q", failure)
	}
}

// refused calls a tool and returns why the call is refused.
func (b *bottle) refused(tool queue.Tool, arguments any) string {
	b.t.Helper()
	result, err := b.connect("").CallTool(b.t.Context(), &mcp.CallToolParams{Name: string(tool), Arguments: arguments})
	if err != nil {
		return err.Error()
	}
	if !result.IsError {
		b.t.Fatalf("accepted: %s", text(result))
	}
	return text(result)
}

// TestWithoutCurrentConfig is a host that mounts the queue only.
func TestWithoutCurrentConfig(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	if err := os.RemoveAll(b.current); err != nil {
		t.Fatal(err)
	}
	if _, failure := callNow[configuration](b, listCurrentConfig); !strings.Contains(failure, "does not show its current configuration") {
		t.Errorf("list-current-config: %q", failure)
	}
	route := map[string]any{"path": "/a/", "upstream": "https://a.example", "auth_scheme": "Bearer", "token_slot": "who-knows"}
	callTool(t.Context(), b.connect(""), queue.CredProxyBlock, map[string]any{"routes": []any{route}, "justification": "j"})
	callTool(t.Context(), b.connect(""), queue.CapabilityBlock, map[string]any{"dockerfile": "FROM a\n", "justification": "j"})
	b.pending(2)
	if failure := b.refused(queue.PipelockBlock, askURL("https://10.0.0.1/")); !strings.Contains(failure, "outside of privateCIDRs") {
		t.Errorf("an address: %s", failure)
	}
}

func TestPrivateAddressesCanBeAskedFor(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	callTool(t.Context(), b.connect(""), queue.PipelockBlock, askURL("http://192.168.7.9:3000/"))
	b.pending(1)
	if failure := b.refused(queue.PipelockBlock, askURL("http://192.168.8.9/")); !strings.Contains(failure, "outside of privateCIDRs") {
		t.Errorf("an address elsewhere: %s", failure)
	}
}

func TestABottleWithoutTokens(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	sidecartest.WriteFile(t, filepath.Join(b.current, "routes.json"), `{"routes": []}`)
	route := map[string]any{"path": "/a/", "upstream": "https://a.example", "auth_scheme": "Bearer", "token_slot": "env-GH"}
	if failure := b.refused(queue.CredProxyBlock, map[string]any{"routes": []any{route}, "justification": "j"}); !strings.Contains(failure, "this bottle has no token, so a route can have none; ask for one with secret-request") {
		t.Errorf("%s", failure)
	}
}

// TestSameWordsAsManifest compares what an agent is told with what the human would be told of a manifest.
func TestSameWordsAsManifest(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	route := map[string]any{"path": "/a/b?/", "upstream": "https://u:p@supervise:0/x/../y?q", "auth_scheme": "a b", "token_slot": "env-GH", "roles": []string{"tea-logn"}}
	told := b.refused(queue.CredProxyBlock, map[string]any{"routes": []any{route}, "justification": "j"})
	told += b.refused(queue.PipelockBlock, askURL("http://localhost./"))
	path := filepath.Join(t.TempDir(), "a.yaml")
	sidecartest.WriteFile(t, path, `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: a}
spec:
  egress: {allowlist: [localhost.]}
  credProxy:
    routes:
    - {path: '/a/b?/', upstream: 'https://u:p@supervise:0/x/../y?q', authScheme: a b, token: {env: GH}, roles: [tea-logn]}
`)
	snapshot, err := source.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshot.Problems) < 8 {
		t.Errorf("only %d problems: %v", len(snapshot.Problems), snapshot.Problems)
	}
	for _, p := range snapshot.Problems {
		if !strings.Contains(told, p.Reason+"; "+p.Fix) {
			t.Errorf("the agent is not told %q; %q, but:\n%s", p.Reason, p.Fix, told)
		}
	}
	if strings.Contains(told, "u:p") {
		t.Errorf("what may be a password is repeated:\n%s", told)
	}
}

func TestProposalStatus(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	if got, failure := callNow[statusList](b, proposalStatus); len(got.Proposals) != 0 || failure != "" {
		t.Errorf("in the beginning: %+v %s", got, failure)
	}
	submit := func(url string) queue.Proposal {
		p, err := b.queue.Submit(queue.Proposal{Bottle: "dev", Tool: queue.PipelockBlock, Justification: "for " + url, Payload: url})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i := range maxStatus { // more than are shown, all in all
		p := submit(fmt.Sprintf("https://%d.example", i))
		b.answer(p.ID, queue.Answer{Status: queue.Expired})
	}
	answered := submit("https://answered.example/" + strings.Repeat("é", 200))
	b.answer(answered.ID, queue.Answer{Status: queue.Rejected, Notes: "use the mirror", By: "alice"})
	submit("https://pending.example")
	for range 2 { // looking changes nothing
		got, failure := callNow[statusList](b, proposalStatus)
		if len(got.Proposals) != maxStatus || failure != "" {
			t.Fatalf("%d proposals, %s; want the last %d", len(got.Proposals), failure, maxStatus)
		}
		first, second, third := got.Proposals[0], got.Proposals[1], got.Proposals[2]
		want := proposal{"pipelock-block", "https://pending.example", "for https://pending.example", first.Created, "", "pending", ""}
		if first != want || first.Created == "" {
			t.Errorf("pending: %+v; want %+v", first, want)
		}
		if second.Status != "rejected" || second.Notes != "use the mirror" || len(second.Proposal) > maxShownBytes+len("…") {
			t.Errorf("answered: %+v", second)
		}
		if third.Status != "expired" || third.Answered == "" {
			t.Errorf("expired: %+v", third)
		}
		if strings.Contains(fmt.Sprint(got), "alice") {
			t.Error("the agent is told who answered")
		}
	}
	b.expect(callTool(t.Context(), b.connect(""), queue.PipelockBlock, askURL(answered.Payload)), decision{"rejected", "use the mirror"})
}

// TestStaleAnswerIsAskedAnew has an answer that was given long ago.
func TestStaleAnswerIsAskedAnew(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	p, err := b.queue.Submit(queue.Proposal{Bottle: "dev", Tool: queue.PipelockBlock, Justification: "j", Payload: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	old := queue.Answer{Status: queue.Approved, By: "alice", Time: p.Created.Add(-queue.AnswerAge - 1)}
	b.answer(p.ID, old)
	callTool(t.Context(), b.connect(""), queue.PipelockBlock, askURL("https://a.example"))
	if again := b.pending(1)[0]; again.ID == p.ID {
		t.Error("the old proposal is pending again")
	}
}
