package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/queue"
)

// answeredAgo queues a proposal that was answered some time ago.
func (b *bottle) answeredAgo(tool queue.Tool, payload string, status queue.Status, age time.Duration) queue.Proposal {
	b.t.Helper()
	p, err := b.queue.Submit(queue.Proposal{Bottle: "dev", Tool: tool, Justification: "j", Payload: payload})
	if err != nil {
		b.t.Fatal(err)
	}
	b.answer(p.ID, queue.Answer{Status: status, Notes: "because", By: "alice", Time: time.Now().Add(-age)})
	return p
}

// TestRepeatedCalls repeats calls that were answered, after different times.
func TestRepeatedCalls(t *testing.T) {
	const before = "You were told this before: it was "
	host, secret := askURL("https://a.example"), askSecret("github", "https://a.example", "")
	tests := map[string]struct {
		tool      queue.Tool
		arguments map[string]any
		status    queue.Status
		age       time.Duration
		delivered bool
		notes     string // "" for a new proposal
	}{
		"rejected, not fetched":          {queue.PipelockBlock, host, queue.Rejected, 3 * time.Hour, false, "because"},
		"rejected just now":              {queue.PipelockBlock, host, queue.Rejected, 0, true, before + "rejected less than a minute ago, and nobody was asked again. because"},
		"rejected a while ago":           {queue.PipelockBlock, host, queue.Rejected, 12*time.Minute + time.Second, true, before + "rejected 12 minutes ago"},
		"rejected long ago":              {queue.PipelockBlock, host, queue.Rejected, rejectedAge + time.Second, true, ""},
		"modified just now":              {queue.PipelockBlock, host, queue.Modified, time.Second, true, before + "modified"},
		"failed just now":                {queue.PipelockBlock, host, queue.Failed, time.Second, true, before + "failed"},
		"failed a while ago":             {queue.PipelockBlock, host, queue.Failed, appliedAge + time.Second, true, ""},
		"expired":                        {queue.PipelockBlock, host, queue.Expired, time.Second, true, ""},
		"expired, not fetched":           {queue.PipelockBlock, host, queue.Expired, time.Second, false, "because"},
		"approved, out of force":         {queue.PipelockBlock, host, queue.Approved, time.Second, true, ""},
		"approved, not fetched":          {queue.PipelockBlock, host, queue.Approved, time.Second, false, "because"},
		"approved for a time, not heard": {queue.PipelockBlock, host, queue.Approved, appliedAge + time.Second, false, ""},
		"secret just now":                {queue.SecretRequest, secret, queue.Approved, time.Second, true, before + "approved"},
		"secret a while ago":             {queue.SecretRequest, secret, queue.Approved, appliedAge + time.Second, true, ""},
		"secret, not fetched":            {queue.SecretRequest, secret, queue.Approved, appliedAge + time.Second, false, "because"},
		"withdrawn by an older version":  {queue.PipelockBlock, host, queue.Withdrawn, time.Second, false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := start(t, sidecartest.MemoryDir(t))
			payload := "https://a.example"
			if test.tool == queue.SecretRequest {
				payload = `{"name":"github","upstream":"https://a.example"}`
			}
			p := b.answeredAgo(test.tool, payload, test.status, test.age)
			if test.delivered {
				b.broker.deliver(p.ID)
			}
			done := callTool(t.Context(), b.connect(""), test.tool, test.arguments)
			if test.notes == "" {
				if again := b.pending(1)[0]; again.ID == p.ID {
					t.Error("the old proposal is pending again")
				}
				return
			}
			o := <-done
			if o.err != nil {
				t.Fatal(o.err)
			}
			if got := decisionOf(t, o.result.StructuredContent); got.Status != string(test.status) || !strings.HasPrefix(got.Notes, test.notes) {
				t.Errorf("%+v; want %s, %q", got, test.status, test.notes)
			}
			b.pending(0)
		})
	}
}

// TestInForce asks for what the bottle has.
func TestInForce(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	gh := map[string]any{"path": "/gh/", "upstream": "https://api.github.com", "auth_scheme": "Bearer", "token_slot": "env-GH"}
	npm := map[string]any{"path": "/npm/", "upstream": "https://registry.npmjs.org", "auth_scheme": "Bearer", "token_slot": "file-npm"}
	has := decision{"approved", inForceNotes}
	session := b.connect("")
	b.expect(callTool(t.Context(), session, queue.PipelockBlock, askURL("https://registry.npmjs.org/x")), has)
	b.expect(callTool(t.Context(), session, queue.PipelockBlock, askURL("http://api.github.com:8080/x")), has)
	b.expect(callTool(t.Context(), session, queue.CredProxyBlock, map[string]any{"routes": []any{npm, gh}, "justification": "j"}), has)
	b.expect(callTool(t.Context(), session, queue.CapabilityBlock, askDockerfile("FROM debian:12\n")), has)
	b.pending(0)

	callTool(t.Context(), session, queue.PipelockBlock, askURL("https://api.github.com:8443/x")) // another port of a tunnel
	b.pending(1)
	callTool(t.Context(), session, queue.CredProxyBlock, map[string]any{"routes": []any{gh}, "justification": "j"})
	b.pending(2)

	// A host that shows no configuration knows nothing that is in force.
	if err := os.RemoveAll(b.current); err != nil {
		t.Fatal(err)
	}
	callTool(t.Context(), session, queue.CredProxyBlock, map[string]any{"routes": []any{}, "justification": "j"})
	b.pending(3)
}

// TestInForceIsCheckedAnew has a grant end after its approval was delivered.
func TestInForceIsCheckedAnew(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	session := b.connect("")
	done := callTool(t.Context(), session, queue.PipelockBlock, askURL("https://a.example"))
	first := b.pending(1)[0]
	sidecartest.WriteFile(t, filepath.Join(b.current, "allowlist"), "a.example:443\n")
	b.answer(first.ID, queue.Answer{Status: queue.Approved, Notes: "for two hours"})
	b.expect(done, decision{"approved", "for two hours"})
	b.delivered(1)
	b.expect(callTool(t.Context(), session, queue.PipelockBlock, askURL("https://a.example")), decision{"approved", "You were told this before: it was approved less than a minute ago, and nobody was asked again. for two hours"})
	sidecartest.WriteFile(t, filepath.Join(b.current, "allowlist"), "b.example\n")
	callTool(t.Context(), session, queue.PipelockBlock, askURL("https://a.example"))
	if p := b.pending(1)[0]; p.ID == first.ID {
		t.Error("the old proposal is pending again")
	}
}

// TestDeliveredAnswersAreShown has answers that calls have returned: they are shown for a while, and not without end.
func TestDeliveredAnswersAreShown(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	fresh := b.answeredAgo(queue.PipelockBlock, "https://fresh.example", queue.Rejected, time.Minute)
	old := b.answeredAgo(queue.PipelockBlock, "https://old.example", queue.Rejected, deliveredAge+time.Second)
	unheard := b.answeredAgo(queue.PipelockBlock, "https://unheard.example", queue.Rejected, deliveredAge+time.Second)
	b.broker.deliver(fresh.ID)
	b.broker.deliver(old.ID)
	got, failure := callNow[statusList](b, proposalStatus)
	if failure != "" || len(got.Proposals) != 2 || got.Proposals[0].Proposal != unheard.Payload || got.Proposals[1].Proposal != fresh.Payload {
		t.Errorf("%+v %s; want unheard and fresh", got, failure)
	}
	if b.files() != 4 {
		t.Errorf("%d files are left; want those of two proposals", b.files())
	}
	for range maxDelivered {
		p := b.answeredAgo(queue.PipelockBlock, "https://more.example", queue.Rejected, 0)
		b.broker.deliver(p.ID)
	}
	if want := 2 * (maxDelivered + 1); b.files() != want {
		t.Errorf("%d files are left; want %d", b.files(), want)
	}
}
