package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/queue"
)

const patience = sidecartest.Patience

// bottle is a running sidecar over a queue directory that outlives it.
type bottle struct {
	t       *testing.T
	dir     string
	current string       // directory of the current configuration
	queue   *queue.Queue // the controller's
	broker  *broker
	server  *httptest.Server
	log     *sidecartest.Buffer
	stop    func()
	// version of the protocol that connect asks for; empty: the latest
	version string
}

func openQueue(t *testing.T, dir string) *queue.Queue {
	t.Helper()
	q, err := queue.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func start(t *testing.T, dir string) *bottle {
	t.Helper()
	return startAs(t, dir, nil, testTiming)
}

// testTiming has keep-alives that a test can wait for.
var testTiming = timing{keepAlive: 30 * time.Millisecond, wait: patience, read: patience, write: patience}

// startAs starts a sidecar at an address; nil is any.
func startAs(t *testing.T, dir string, at net.Listener, times timing) *bottle {
	t.Helper()
	b := &bottle{t: t, dir: dir, current: currentConfig(t), queue: openQueue(t, dir), log: &sidecartest.Buffer{}}
	b.broker = newBroker(settings{slug: "dev", currentDir: b.current}, openQueue(t, dir), zerolog.New(b.log))
	b.server = httptest.NewUnstartedServer(nil)
	clients := sidecar.NewClients(maxConnections, headersCost, zerolog.Nop())
	clients.Grace = 100 * time.Millisecond
	b.server.Config = newHTTPServer(b.broker, clients, times)
	if at != nil {
		b.server.Listener.Close()
		b.server.Listener = at
	}
	b.server.Listener = clients.Listen(b.server.Listener)
	b.server.Start()
	b.stop = sync.OnceFunc(func() {
		b.broker.stop()
		b.server.Close()
	})
	t.Cleanup(b.stop)
	return b
}

const currentRoutes = `{"routes": [
	{"path": "/gh/", "upstream": "https://api.github.com", "auth_scheme": "Bearer", "token_slot": "env-GH"},
	{"path": "/npm/", "upstream": "https://registry.npmjs.org", "auth_scheme": "Bearer", "token_slot": "file-npm"}
]}`

// currentConfig writes what the controller writes.
func currentConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"routes.json": currentRoutes, "allowlist": "*.npmjs.org\napi.github.com\n", "private-cidrs": "192.168.7.0/24\n", "Dockerfile": "FROM debian:12\n",
	} {
		sidecartest.WriteFile(t, filepath.Join(dir, name), content)
	}
	return dir
}

func (b *bottle) connect(path string) *mcp.ClientSession {
	b.t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	session, err := client.Connect(b.t.Context(), &mcp.StreamableClientTransport{Endpoint: b.server.URL + path},
		&mcp.ClientSessionOptions{ProtocolVersion: b.version})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { session.Close() })
	return session
}

type outcome struct {
	result *mcp.CallToolResult
	err    error
}

// callTool calls a tool in the background.
func callTool(ctx context.Context, s *mcp.ClientSession, tool queue.Tool, arguments any) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		result, err := s.CallTool(ctx, &mcp.CallToolParams{Name: string(tool), Arguments: arguments})
		done <- outcome{result, err}
	}()
	return done
}

func askURL(url string) map[string]any {
	return map[string]any{"url": url, "justification": "the docs are there"}
}

// pending waits until n proposals are pending.
func (b *bottle) pending(n int) []queue.Proposal {
	b.t.Helper()
	var got []queue.Proposal
	b.until(fmt.Sprintf("%d pending proposals", n), func() bool {
		var err error
		var problems []error
		if got, problems, err = b.queue.Pending(); err != nil || len(problems) > 0 {
			b.t.Fatalf("Pending: %v %v", err, problems)
		}
		return len(got) == n
	})
	return got
}

func (b *bottle) answer(id string, a queue.Answer) {
	b.t.Helper()
	if err := b.queue.Answer(id, a); err != nil {
		b.t.Fatal(err)
	}
}

// empty waits until nothing is left in the queue.
func (b *bottle) empty() {
	b.t.Helper()
	b.until("an empty queue", func() bool { return b.files() == 0 })
}

// files is how many files the queue has.
func (b *bottle) files() int {
	b.t.Helper()
	names, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(names)
}

func (b *bottle) expect(done <-chan outcome, want decision) {
	b.t.Helper()
	select {
	case o := <-done:
		if o.err != nil || o.result.IsError {
			b.t.Fatalf("call failed: %v %s", o.err, text(o.result))
		}
		data, err := json.Marshal(o.result.StructuredContent)
		if err != nil {
			b.t.Fatal(err)
		}
		var got decision
		if err := json.Unmarshal(data, &got); err != nil || got != want {
			b.t.Errorf("decision %s; want %+v", data, want)
		}
	case <-time.After(patience):
		b.t.Fatal("the call does not return")
	}
}

func text(r *mcp.CallToolResult) string {
	if r == nil {
		return ""
	}
	var parts []string
	for _, c := range r.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			parts = append(parts, t.Text)
		}
	}
	return strings.Join(parts, "\n")
}

// expectStanding checks that a proposal outlives its call, and that the next equal call gets its answer.
func (b *bottle) expectStanding(url string, leave func()) {
	b.t.Helper()
	id := b.pending(1)[0].ID
	leave()
	b.callers(0)
	if left := b.pending(1)[0].ID; left != id {
		b.t.Errorf("pending is %s; want %s, as before the agent left", left, id)
	}
	b.answer(id, queue.Answer{Status: queue.Approved, Notes: "ok", By: "alice"})
	again := askURL(url)
	again["justification"] = "in other words"
	b.expect(callTool(b.t.Context(), b.connect("/mcp"), queue.PipelockBlock, again), decision{"approved", "ok"})
	b.pending(0)
}

// callers waits until n calls wait for answers.
func (b *bottle) callers(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d callers", n), func() bool {
		b.broker.mu.Lock()
		defer b.broker.mu.Unlock()
		return b.broker.callers == n
	})
}

// delivered waits until n answers are known to be delivered.
func (b *bottle) delivered(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d delivered answers", n), func() bool {
		b.broker.mu.Lock()
		defer b.broker.mu.Unlock()
		return len(b.broker.delivered) == n
	})
}

func rawCall(id int, url string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"pipelock-block","arguments":{"url":%q,"justification":"j"}}}`, id, url)
}

func (b *bottle) initialize() string {
	b.t.Helper()
	resp := b.post("", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	return resp.Header.Get(sessionHeader)
}

// post sends a request as a client of 2025 does, and returns when the response's header is there.
func (b *bottle) post(session, body string) *http.Response {
	b.t.Helper()
	resp, err := http.DefaultClient.Do(b.request(session, body))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (b *bottle) request(session, body string) *http.Request {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+"/mcp", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set(sessionHeader, session)
		req.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	return req
}

// postAsync delivers the response once it has ended.
func (b *bottle) postAsync(session, body string) <-chan *http.Response {
	req, done := b.request(session, body), make(chan *http.Response, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return // the test is over
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		done <- resp
	}()
	return done
}

func (b *bottle) until(what string, ok func() bool) {
	b.t.Helper()
	sidecartest.Until(b.t, what, b.log, ok)
}
