package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/queue"
)

const patience = time.Minute

// bottle is a running sidecar over a queue directory that outlives it.
type bottle struct {
	t       *testing.T
	dir     string
	current string       // directory of the current configuration
	queue   *queue.Queue // the controller's
	desk    *desk
	server  *httptest.Server
	log     *syncBuffer
	stop    func()
	// version of the protocol that connect asks for; empty: the latest
	version string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
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
var testTiming = timing{keepAlive: 30 * time.Millisecond, read: patience, write: patience}

// startAs starts a sidecar at an address; nil is any.
func startAs(t *testing.T, dir string, at net.Listener, times timing) *bottle {
	t.Helper()
	b := &bottle{t: t, dir: dir, current: currentConfig(t), queue: openQueue(t, dir), log: &syncBuffer{}}
	b.desk = newDesk(settings{slug: "dev", currentDir: b.current}, openQueue(t, dir), zerolog.New(b.log))
	b.server = httptest.NewUnstartedServer(nil)
	clients := sidecar.NewClients(maxConnections, headersCost, zerolog.Nop())
	b.server.Config = newHTTPServer(b.desk, clients, times)
	if at != nil {
		b.server.Listener.Close()
		b.server.Listener = at
	}
	b.server.Listener = clients.Listen(b.server.Listener)
	b.server.Start()
	b.stop = sync.OnceFunc(func() {
		b.desk.stop()
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
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
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

func (b *bottle) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s; log:\n%s", what, b.log)
		}
	}
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
	b.until("an empty queue", func() bool {
		names, err := os.ReadDir(b.dir)
		return err == nil && len(names) == 0
	})
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

func TestListsTools(t *testing.T) {
	b := start(t, t.TempDir())
	for _, path := range []string{"", "/", "/mcp"} {
		session := b.connect(path)
		list, err := session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
			if tool.OutputSchema == nil || tool.Description == "" {
				t.Errorf("%s has no output schema or no description", tool.Name)
			}
			if tool.Annotations.ReadOnlyHint {
				continue
			}
			schema, err := json.Marshal(tool.InputSchema)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"justification"`, `"required"`, `"description"`} {
				if !strings.Contains(string(schema), want) {
					t.Errorf("%s: input schema %s; want %s in it", tool.Name, schema, want)
				}
			}
		}
		if got, want := strings.Join(names, " "), "capability-block cred-proxy-block list-current-config pipelock-block proposal-status"; got != want {
			t.Errorf("path %q: tools %q; want %q", path, got, want)
		}
	}
}

func TestCallBlocksUntilAnswered(t *testing.T) {
	routes := []map[string]any{{"path": "/gh/", "upstream": "https://api.github.com", "auth_scheme": "Bearer", "token_slot": "env-GH"}}
	tests := map[queue.Tool]struct {
		arguments map[string]any
		payload   string
		status    queue.Status
	}{
		queue.PipelockBlock: {askURL("https://docs.example/x"), "https://docs.example/x", queue.Approved},
		queue.CredProxyBlock: {
			map[string]any{"routes": routes, "justification": "issues"},
			"{\n  \"routes\": [\n    {\n      \"path\": \"/gh/\",\n      \"upstream\": \"https://api.github.com\",\n      \"auth_scheme\": \"Bearer\",\n      \"token_slot\": \"env-GH\"\n    }\n  ]\n}\n",
			queue.Modified,
		},
		queue.CapabilityBlock: {
			map[string]any{"dockerfile": "# syntax=docker/dockerfile:1\nARG A=1\nFROM debian:$A\nRUN true\n", "justification": "need true"},
			"# syntax=docker/dockerfile:1\nARG A=1\nFROM debian:$A\nRUN true\n", queue.Rejected,
		},
	}
	for tool, test := range tests {
		t.Run(string(tool), func(t *testing.T) {
			b := start(t, t.TempDir())
			done := callTool(t.Context(), b.connect("/mcp"), tool, test.arguments)
			p := b.pending(1)[0]
			if p.Tool != tool || p.Payload != test.payload || p.Bottle != "dev" || p.Justification != test.arguments["justification"] {
				t.Errorf("proposal %+v", p)
			}
			select {
			case o := <-done:
				t.Fatalf("the call returned before there was an answer: %v %s", o.err, text(o.result))
			case <-time.After(150 * time.Millisecond): // some keep-alives long
			}
			b.answer(p.ID, queue.Answer{Status: test.status, Notes: "as you like", By: "alice"})
			b.expect(done, decision{string(test.status), "as you like"})
			b.empty()
		})
	}
}

func TestBadInputIsNotQueued(t *testing.T) {
	route := func(change func(map[string]any)) map[string]any {
		r := map[string]any{"path": "/a/", "upstream": "https://a.example", "auth_scheme": "Bearer", "token_slot": "env-GH"}
		change(r)
		return map[string]any{"routes": []any{r}, "justification": "j"}
	}
	url := askURL
	dockerfile := func(d string) map[string]any { return map[string]any{"dockerfile": d, "justification": "j"} }
	tests := map[string]struct {
		tool      queue.Tool
		arguments map[string]any
		want      string
	}{
		"no arguments":          {queue.PipelockBlock, map[string]any{}, "required"},
		"no justification":      {queue.PipelockBlock, map[string]any{"url": "https://a.example"}, "justification"},
		"blank justification":   {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": " \n"}, "justification must not be empty"},
		"long justification":    {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": strings.Repeat("a", queue.MaxJustification+1)}, "justification has"},
		"escape sequence":       {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": "\x1b[2J"}, "control or invisible character"},
		"unknown argument":      {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": "j", "force": true}, "force"},
		"wrong type":            {queue.PipelockBlock, map[string]any{"url": 1, "justification": "j"}, "type"},
		"empty URL":             {queue.PipelockBlock, url(""), "url must not be empty"},
		"not a URL":             {queue.PipelockBlock, url("https://a b"), "url cannot be parsed"},
		"no scheme":             {queue.PipelockBlock, url("a.example"), "must begin with https"},
		"file URL":              {queue.PipelockBlock, url("file:///etc/passwd"), "must begin with https"},
		"no host":               {queue.PipelockBlock, url("https:///x"), "url: the host is empty"},
		"wildcard host":         {queue.PipelockBlock, url("https://*.example"), "url: \"*.example\" would allow a whole top-level domain"},
		"any subdomain":         {queue.PipelockBlock, url("https://*.github.com"), "url: it has a *"},
		"lookalike host":        {queue.PipelockBlock, url("https://аpple.com"), "is not ASCII; write an international name in its xn-- form"},
		"own part":              {queue.PipelockBlock, url("http://cred-proxy:9099/"), "is a part of the bottle itself"},
		"loopback":              {queue.PipelockBlock, url("http://localhost/"), "is the proxy's own loopback"},
		"metadata service":      {queue.PipelockBlock, url("http://169.254.169.254/latest"), "is an address outside of privateCIDRs"},
		"octal address":         {queue.PipelockBlock, url("http://0251.0376.0251.0376/"), "looks like an address but is none"},
		"decimal address":       {queue.PipelockBlock, url("http://2852039166/"), "looks like an address but is none"},
		"trailing dot":          {queue.PipelockBlock, url("https://a.example./"), "ends with a dot"},
		"token in the host":     {queue.PipelockBlock, url("https://ghp-x.ghp_" + strings.Repeat("a", 36) + ".example"), "a GitHub token"},
		"credentials":           {queue.PipelockBlock, url("https://me:pw@a.example"), "user name or password"},
		"long URL":              {queue.PipelockBlock, url("https://a.example/" + strings.Repeat("a", maxURLBytes)), "at most"},
		"no routes":             {queue.CredProxyBlock, map[string]any{"justification": "j"}, "routes"},
		"null routes":           {queue.CredProxyBlock, map[string]any{"routes": nil, "justification": "j"}, "routes"},
		"routes as text":        {queue.CredProxyBlock, map[string]any{"routes": "[]", "justification": "j"}, "type"},
		"plain http":            {queue.CredProxyBlock, route(func(r map[string]any) { r["upstream"] = "http://a.example" }), "routes[0].upstream: over plain http everybody on the way can read the token"},
		"token in route":        {queue.CredProxyBlock, route(func(r map[string]any) { r["token"] = "x" }), "token"},
		"token in upstream":     {queue.CredProxyBlock, route(func(r map[string]any) { r["upstream"] = "https://a.example/ghp_" + strings.Repeat("a", 36) }), "it holds a GitHub token"},
		"bad path":              {queue.CredProxyBlock, route(func(r map[string]any) { r["path"] = "/a/../" }), "routes[0].path: the path \"/a/../\" is not clean"},
		"every path":            {queue.CredProxyBlock, route(func(r map[string]any) { r["path"] = "/" }), "would take every request"},
		"two words":             {queue.CredProxyBlock, route(func(r map[string]any) { r["auth_scheme"] = "a b" }), "routes[0].auth_scheme: it is not one word"},
		"metadata upstream":     {queue.CredProxyBlock, route(func(r map[string]any) { r["upstream"] = "https://169.254.169.254/" }), "outside of privateCIDRs"},
		"unknown role":          {queue.CredProxyBlock, route(func(r map[string]any) { r["roles"] = []string{"admin"} }), "is no role"},
		"unknown token":         {queue.CredProxyBlock, route(func(r map[string]any) { r["token_slot"] = "env-AWS" }), "is no token of this bottle; it has env-GH, file-npm"},
		"path as a token":       {queue.CredProxyBlock, route(func(r map[string]any) { r["token_slot"] = "../../etc/passwd" }), "is no token of this bottle"},
		"empty Dockerfile":      {queue.CapabilityBlock, dockerfile("\n"), "dockerfile must not be empty"},
		"Dockerfile of RUN":     {queue.CapabilityBlock, dockerfile("RUN true\nFROM a"), "no build stage in current context"},
		"Dockerfile of comment": {queue.CapabilityBlock, dockerfile("# nothing\n"), "dockerfile"},
		"Dockerfile of ARG":     {queue.CapabilityBlock, dockerfile("ARG A=1\n"), "has no FROM"},
		"Dockerfile of prose":   {queue.CapabilityBlock, dockerfile("Please install curl"), "unknown instruction: Please"},
		"misspelt instruction":  {queue.CapabilityBlock, dockerfile("FROM a\nRUNN true"), "did you mean RUN?"},
		"half a here-document":  {queue.CapabilityBlock, dockerfile("FROM a\nRUN <<EOF\ntrue\n"), "unterminated heredoc"},
		"bad flag":              {queue.CapabilityBlock, dockerfile("FROM a\nRUN --nonsense true"), "unknown flag: --nonsense"},
		"other frontend":        {queue.CapabilityBlock, dockerfile("# syntax=evil.example/frontend\nFROM a"), "its syntax line must name docker/dockerfile"},
		"lookalike frontend":    {queue.CapabilityBlock, dockerfile("# syntax=docker/dockerfile.evil.example/x\nFROM a"), "its syntax line must name docker/dockerfile"},
		"frontend by odd space": {queue.CapabilityBlock, dockerfile("#\u00a0syntax\u2003= evil.example/frontend\nFROM a"), "control or invisible"},
		"frontend after others": {queue.CapabilityBlock, dockerfile("# escape=\\\n#SYNTAX=evil.example/frontend\nFROM a"), "its syntax line must name docker/dockerfile"},
		"frontend of slashes":   {queue.CapabilityBlock, dockerfile("// syntax=evil.example/frontend\nFROM a"), "dockerfile"},
		"frontend of JSON":      {queue.CapabilityBlock, dockerfile("{\"syntax\": \"evil.example/frontend\"}\nFROM a"), "unknown instruction"},
		"hidden by a return":    {queue.CapabilityBlock, dockerfile("FROM evil\rFROM good"), "control or invisible character"},
		"long Dockerfile":       {queue.CapabilityBlock, dockerfile("FROM a\n" + strings.Repeat("#", maxDockerfileBytes)), "at most"},
		"huge Dockerfile":       {queue.CapabilityBlock, dockerfile("FROM a\n" + strings.Repeat("#", maxBodyBytes)), "Too Large"},
		"unknown tool":          {"rm", map[string]any{}, "unknown tool"},
	}
	b := start(t, t.TempDir())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			result, err := b.connect("/mcp").CallTool(ctx, &mcp.CallToolParams{Name: string(test.tool), Arguments: test.arguments})
			if err == nil && !result.IsError {
				t.Fatalf("accepted: %s", text(result))
			}
			if got := fmt.Sprint(err, text(result)); !strings.Contains(got, test.want) {
				t.Errorf("%s; want %q in it", got, test.want)
			}
		})
	}
	b.pending(0)
	b.empty()
}

func TestTooManyProposals(t *testing.T) {
	b := start(t, t.TempDir())
	session := b.connect("/mcp")
	for i := range queue.MaxPending {
		callTool(t.Context(), session, queue.PipelockBlock, askURL(fmt.Sprintf("https://%d.example", i)))
	}
	b.pending(queue.MaxPending)
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "pipelock-block", Arguments: askURL("https://more.example")})
	if err != nil || !result.IsError || !strings.Contains(text(result), "too many proposals") {
		t.Errorf("one too many: %v %s", err, text(result))
	}
}

// TestCancellationWithdraws goes through every way in which an agent gives up.
func TestCancellationWithdraws(t *testing.T) {
	for _, version := range []string{"", "2025-06-18", "2025-03-26"} {
		t.Run("cancelled context "+version, func(t *testing.T) {
			b := start(t, t.TempDir())
			b.version = version
			ctx, cancel := context.WithCancel(t.Context())
			done := callTool(ctx, b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
			b.expectWithdrawn(func() { cancel(); <-done })
		})
		t.Run("cut connection "+version, func(t *testing.T) {
			b := start(t, t.TempDir())
			b.version = version
			callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
			b.expectWithdrawn(b.server.CloseClientConnections)
		})
	}
	t.Run("cancelled notification of a session", func(t *testing.T) {
		b := start(t, t.TempDir())
		mine, other := b.initialize(), b.initialize()
		if mine == other || mine == "" {
			t.Fatalf("sessions %q and %q", mine, other)
		}
		// Two clients that count alike: only the one that cancels is cancelled.
		responses := []<-chan *http.Response{
			b.postAsync(mine, rawCall(7, "https://a.example")), b.postAsync(other, rawCall(7, "https://b.example")),
		}
		b.pending(2)
		const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`
		if resp := b.post(mine, cancelled); resp.StatusCode != http.StatusAccepted {
			t.Errorf("cancellation answered %s", resp.Status)
		}
		if p := b.pending(1)[0]; p.Payload != "https://b.example" {
			t.Errorf("still pending is %s; the other client's call was cancelled", p.Payload)
		}
		select {
		case <-responses[0]:
		case <-time.After(patience):
			t.Error("the cancelled call does not end")
		}
	})
}

func (b *bottle) expectWithdrawn(leave func()) {
	b.t.Helper()
	id := b.pending(1)[0].ID
	leave()
	b.pending(0)
	entry, err := b.queue.Get(id)
	if err != nil || entry.Answer.Status != queue.Withdrawn {
		b.t.Errorf("after the agent left: %+v, %v; want withdrawn", entry, err)
	}
	if err := b.queue.Answer(id, queue.Answer{Status: queue.Approved}); !errors.Is(err, queue.ErrAnswered) {
		b.t.Errorf("approving a withdrawn proposal: %v; want ErrAnswered", err)
	}
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

func TestRestartKeepsProposal(t *testing.T) {
	dir := t.TempDir()
	before := start(t, dir)
	done := callTool(t.Context(), before.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
	id := before.pending(1)[0].ID
	before.stop()
	select {
	case o := <-done:
		if o.err == nil && (!o.result.IsError || !strings.Contains(text(o.result), "call the tool again")) {
			t.Errorf("the interrupted call returned %s", text(o.result))
		}
	case <-time.After(patience):
		t.Fatal("the call survives the sidecar")
	}

	after := start(t, dir)
	if got := after.pending(1)[0].ID; got != id {
		t.Fatalf("pending is %s; want %s, as before the restart", got, id)
	}
	again := askURL("https://a.example")
	again["justification"] = "I asked for this before the restart"
	done = callTool(t.Context(), after.connect("/mcp"), queue.PipelockBlock, again)
	after.until("the call to find its proposal", func() bool { return strings.Contains(after.log.String(), `"action":"found"`) })
	after.answer(id, queue.Answer{Status: queue.Approved, Notes: "ok"})
	after.expect(done, decision{"approved", "ok"})
	after.empty()
}

func TestSessionSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	session := b.initialize()
	address := b.server.Listener.Addr().String()
	b.stop()

	// The next life at the same address, as in a container.
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	next := startAs(t, dir, listener, testTiming)
	resp := next.post(session, `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`)
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "pipelock-block") {
		t.Errorf("the old session's next request: %s %s", resp.Status, body)
	}
}

func TestUndeliveredAnswerIsDelivered(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir)
	p, err := q.Submit(queue.Proposal{Bottle: "dev", Tool: queue.PipelockBlock, Justification: "j", Payload: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Answer(p.ID, queue.Answer{Status: queue.Rejected, Notes: "no"}); err != nil {
		t.Fatal(err)
	}
	b := start(t, dir)
	b.expect(callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example")), decision{"rejected", "no"})
	b.empty()

	// The next time it is a question again.
	callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
	b.pending(1)
}

func TestEqualCallsShareOneProposal(t *testing.T) {
	b := start(t, t.TempDir())
	leaving, cancel := context.WithCancel(t.Context())
	gone := callTool(leaving, b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
	var calls []<-chan outcome
	for range 4 {
		calls = append(calls, callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example")))
	}
	id := b.pending(1)[0].ID
	b.until("five callers", func() bool {
		b.desk.mu.Lock()
		defer b.desk.mu.Unlock()
		a := b.desk.asks[request{queue.PipelockBlock, "https://a.example"}]
		return a != nil && a.callers == 5
	})
	cancel()
	<-gone
	b.until("four callers", func() bool {
		b.desk.mu.Lock()
		defer b.desk.mu.Unlock()
		return b.desk.asks[request{queue.PipelockBlock, "https://a.example"}].callers == 4
	})
	b.pending(1) // one agent less is no withdrawal
	b.answer(id, queue.Answer{Status: queue.Approved})
	for _, done := range calls {
		b.expect(done, decision{"approved", ""})
	}
	b.empty()
}

func TestRemovedProposalEndsTheCall(t *testing.T) {
	b := start(t, t.TempDir())
	done := callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
	if err := b.queue.Remove(b.pending(1)[0].ID); err != nil {
		t.Fatal(err)
	}
	select {
	case o := <-done:
		if o.err != nil || !o.result.IsError || !strings.Contains(text(o.result), "removed without an answer") {
			t.Errorf("%v %s", o.err, text(o.result))
		}
	case <-time.After(patience):
		t.Fatal("the call does not return")
	}
}

func TestKeepAlive(t *testing.T) {
	b := start(t, t.TempDir())
	progress := make(chan *mcp.ProgressNotificationParams, 100)
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress <- r.Params },
	})
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: b.server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	params := &mcp.CallToolParams{Name: "pipelock-block", Arguments: askURL("https://a.example")}
	params.SetProgressToken("tok")
	go session.CallTool(t.Context(), params)
	for i := range 3 {
		select {
		case p := <-progress:
			if p.ProgressToken != "tok" || p.Progress != float64(i+1) {
				t.Errorf("progress %d is %+v", i+1, p)
			}
		case <-time.After(patience):
			t.Fatal("no progress notification")
		}
	}

	// Without a token, the stream carries comments. They also make the header arrive at once.
	resp := b.post("", rawCall(1, "https://b.example"))
	buffer := make([]byte, 64)
	n, err := resp.Body.Read(buffer)
	if err != nil || !strings.HasPrefix(string(buffer[:n]), ": waiting\n\n") {
		t.Errorf("the stream begins with %q (%v); want a comment", buffer[:n], err)
	}
}

func TestHTTP(t *testing.T) {
	b := start(t, t.TempDir())
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`
	tests := map[string]struct {
		method, path, host string
		header             http.Header
		want               int
	}{
		"health":                  {http.MethodGet, healthPath, "", nil, http.StatusOK},
		"host supervise":          {http.MethodPost, "/", "supervise:9100", nil, http.StatusOK},
		"host supervise, no port": {http.MethodPost, "/mcp", "Supervise", nil, http.StatusOK},
		"host localhost":          {http.MethodPost, "/mcp", "localhost:1", nil, http.StatusOK},
		"rebound host":            {http.MethodPost, "/mcp", "evil.example:9100", nil, http.StatusForbidden},
		"rebound host, health":    {http.MethodGet, healthPath, "evil.example", nil, http.StatusForbidden},
		"lookalike host":          {http.MethodPost, "/mcp", "supervise.evil.example", nil, http.StatusForbidden},
		"another site's page":     {http.MethodPost, "/mcp", "", http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		"other path":              {http.MethodPost, "/x", "", nil, http.StatusNotFound},
		"event stream":            {http.MethodGet, "/mcp", "", http.Header{"Accept": {"text/event-stream"}}, http.StatusMethodNotAllowed},
		"delete":                  {http.MethodDelete, "/mcp", "", nil, http.StatusMethodNotAllowed},
		"form":                    {http.MethodPost, "/mcp", "", http.Header{"Content-Type": {"text/plain"}}, http.StatusUnsupportedMediaType},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req := b.request("", list)
			req.Method, req.URL.Path, req.Host = test.method, test.path, test.host
			for name, values := range test.header {
				req.Header[name] = values
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != test.want {
				t.Errorf("%s %s; want %d", resp.Status, body, test.want)
			}
		})
	}
}

func TestMalformedBodies(t *testing.T) {
	b := start(t, t.TempDir())
	for _, body := range []string{
		``, `{`, `null`, `[]`, `[null]`, `"x"`, `{"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":1,"method":"no/such"}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}`,
		strings.Repeat("[", 100_000),
	} {
		for _, session := range []string{"", "made-up"} {
			resp := b.post(session, body)
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Errorf("%.60s: %v", body, err)
			}
			if resp.StatusCode >= 500 {
				t.Errorf("%.60s: %s %s", body, resp.Status, answer)
			}
		}
	}
	b.empty()
}

func TestSettings(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want settings
		fail string
	}{
		"all":       {map[string]string{"SUPERVISE_BOTTLE_SLUG": "dev", "SUPERVISE_QUEUE_DIR": "/q", "SUPERVISE_PORT": "1234", "SUPERVISE_CURRENT_CONFIG_DIR": "/c"}, settings{"dev", "/q", "1234", "/c"}, ""},
		"port":      {map[string]string{"SUPERVISE_BOTTLE_SLUG": "dev", "SUPERVISE_QUEUE_DIR": "/q"}, settings{"dev", "/q", "9100", "/etc/claude-bottle/current-config"}, ""},
		"no slug":   {map[string]string{"SUPERVISE_QUEUE_DIR": "/q"}, settings{}, "SUPERVISE_BOTTLE_SLUG"},
		"no queue":  {map[string]string{"SUPERVISE_BOTTLE_SLUG": "dev"}, settings{}, "SUPERVISE_QUEUE_DIR"},
		"bad port":  {map[string]string{"SUPERVISE_BOTTLE_SLUG": "dev", "SUPERVISE_QUEUE_DIR": "/q", "SUPERVISE_PORT": "x"}, settings{}, "SUPERVISE_PORT"},
		"port zero": {map[string]string{"SUPERVISE_BOTTLE_SLUG": "dev", "SUPERVISE_QUEUE_DIR": "/q", "SUPERVISE_PORT": "0"}, settings{}, "SUPERVISE_PORT"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := settingsFromEnvironment(func(key string) string { return test.env[key] })
			if test.fail == "" && (err != nil || got != test.want) {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
			if test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)) {
				t.Errorf("%v; want %q in it", err, test.fail)
			}
		})
	}
}

// TestProgram runs the whole sidecar as the container does, and ends it while a call waits.
func TestProgram(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	t.Setenv("SUPERVISE_BOTTLE_SLUG", "dev")
	t.Setenv("SUPERVISE_QUEUE_DIR", t.TempDir())
	t.Setenv("SUPERVISE_PORT", port)
	settings, err := settingsFromEnvironment(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}

	out := &syncBuffer{}
	ctx, terminate := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- newProgram(settings, openQueue(t, settings.queueDir), zerolog.New(out)).Run(ctx) }()
	b := &bottle{t: t, dir: settings.queueDir, queue: openQueue(t, settings.queueDir), log: out}
	b.until("the config event", func() bool {
		return strings.Contains(out.String(), `"event":"config","cause":"start","config":"`+configdigest.Of(nil)+`"`)
	})
	healthcheck := Command()
	healthcheck.SetArgs([]string{"healthcheck"})
	if err := healthcheck.ExecuteContext(t.Context()); err != nil {
		t.Errorf("healthcheck: %v", err)
	}

	b.server = &httptest.Server{URL: "http://127.0.0.1:" + port}
	done := callTool(t.Context(), b.connect(""), queue.PipelockBlock, askURL("https://a.example"))
	b.pending(1)
	terminate()
	select {
	case o := <-done:
		if o.err != nil || !o.result.IsError || !strings.Contains(text(o.result), "call the tool again") {
			t.Errorf("the interrupted call returned %v %s", o.err, text(o.result))
		}
	case <-time.After(patience):
		t.Fatal("the call survives the sidecar")
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	b.pending(1)
	if strings.Contains(out.String(), "withdrawn") {
		t.Errorf("the proposal was withdrawn:\n%s", out)
	}
	if err := healthcheck.ExecuteContext(t.Context()); err == nil {
		t.Error("healthcheck succeeds though nobody serves")
	}
}
