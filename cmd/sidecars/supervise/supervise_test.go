package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/queue"
)

func TestListsTools(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	for _, path := range []string{"", "/", "/mcp", "/mcp/"} {
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
		if got, want := strings.Join(names, " "), "capability-block cred-proxy-block list-current-config pipelock-block proposal-status secret-request"; got != want {
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
		queue.SecretRequest: {askSecret("github", "https://api.github.com", "/github/"), `{"name":"github","upstream":"https://api.github.com"}`, queue.Failed},
		queue.CapabilityBlock: {
			map[string]any{"dockerfile": "# syntax=docker/dockerfile:1\nARG A=1\nFROM debian:$A\nRUN true\n", "justification": "need true"},
			"# syntax=docker/dockerfile:1\nARG A=1\nFROM debian:$A\nRUN true\n", queue.Rejected,
		},
	}
	for tool, test := range tests {
		t.Run(string(tool), func(t *testing.T) {
			b := start(t, sidecartest.MemoryDir(t))
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
			b.delivered(1)
		})
	}
}

func askRoute(change func(map[string]any)) map[string]any {
	r := map[string]any{"path": "/a/", "upstream": "https://a.example", "auth_scheme": "Bearer", "token_slot": "env-GH"}
	change(r)
	return map[string]any{"routes": []any{r}, "justification": "j"}
}

func askDockerfile(d string) map[string]any {
	return map[string]any{"dockerfile": d, "justification": "j"}
}

func askSecret(name, upstream, path string) map[string]any {
	arguments := map[string]any{"name": name, "upstream": upstream, "justification": "j"}
	if path != "" {
		arguments["path"] = path
	}
	return arguments
}

// badInputs are calls that queue nothing, and what is said about them.
var badInputs = map[string]struct {
	tool      queue.Tool
	arguments map[string]any
	want      string
}{
	"no arguments":           {queue.PipelockBlock, map[string]any{}, "required"},
	"no justification":       {queue.PipelockBlock, map[string]any{"url": "https://a.example"}, "justification"},
	"blank justification":    {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": " \n"}, "justification must not be empty"},
	"long justification":     {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": strings.Repeat("a", queue.MaxJustification+1)}, "justification has"},
	"escape sequence":        {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": "\x1b[2J"}, "control or invisible character"},
	"unknown argument":       {queue.PipelockBlock, map[string]any{"url": "https://a.example", "justification": "j", "force": true}, "force"},
	"wrong type":             {queue.PipelockBlock, map[string]any{"url": 1, "justification": "j"}, "type"},
	"empty URL":              {queue.PipelockBlock, askURL(""), "url must not be empty"},
	"not a URL":              {queue.PipelockBlock, askURL("https://a b"), "url cannot be parsed"},
	"no scheme":              {queue.PipelockBlock, askURL("a.example"), "must begin with https"},
	"file URL":               {queue.PipelockBlock, askURL("file:///etc/passwd"), "must begin with https"},
	"no host":                {queue.PipelockBlock, askURL("https:///x"), "url: the host is empty"},
	"wildcard host":          {queue.PipelockBlock, askURL("https://*.example"), "url: \"*.example\" would allow a whole top-level domain"},
	"any subdomain":          {queue.PipelockBlock, askURL("https://*.github.com"), "url: it has a *"},
	"lookalike host":         {queue.PipelockBlock, askURL("https://аpple.com"), "is not ASCII; write an international name in its xn-- form"},
	"own part":               {queue.PipelockBlock, askURL("http://cred-proxy:9099/"), "is a part of the bottle itself"},
	"loopback":               {queue.PipelockBlock, askURL("http://localhost/"), "is the proxy's own loopback"},
	"metadata service":       {queue.PipelockBlock, askURL("http://169.254.169.254/latest"), "is an address outside of privateCIDRs"},
	"octal address":          {queue.PipelockBlock, askURL("http://0251.0376.0251.0376/"), "looks like an address but is none"},
	"decimal address":        {queue.PipelockBlock, askURL("http://2852039166/"), "looks like an address but is none"},
	"trailing dot":           {queue.PipelockBlock, askURL("https://a.example./"), "ends with a dot"},
	"token in the host":      {queue.PipelockBlock, askURL("https://ghp-x.ghp_" + strings.Repeat("a", 36) + ".example"), "a GitHub token"},
	"credentials":            {queue.PipelockBlock, askURL("https://me:pw@a.example"), "user name or password"},
	"long URL":               {queue.PipelockBlock, askURL("https://a.example/" + strings.Repeat("a", maxURLBytes)), "at most"},
	"no routes":              {queue.CredProxyBlock, map[string]any{"justification": "j"}, "routes"},
	"null routes":            {queue.CredProxyBlock, map[string]any{"routes": nil, "justification": "j"}, "routes"},
	"routes as text":         {queue.CredProxyBlock, map[string]any{"routes": "[]", "justification": "j"}, "type"},
	"plain http":             {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["upstream"] = "http://a.example" }), "routes[0].upstream: over plain http everybody on the way can read the token"},
	"token in route":         {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["token"] = "x" }), "token"},
	"token in upstream":      {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["upstream"] = "https://a.example/ghp_" + strings.Repeat("a", 36) }), "it holds a GitHub token"},
	"bad path":               {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["path"] = "/a/../" }), "routes[0].path: the path \"/a/../\" is not clean"},
	"every path":             {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["path"] = "/" }), "would take every request"},
	"two words":              {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["auth_scheme"] = "a b" }), "routes[0].auth_scheme: it is not one word"},
	"metadata upstream":      {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["upstream"] = "https://169.254.169.254/" }), "outside of privateCIDRs"},
	"unknown role":           {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["roles"] = []string{"admin"} }), "is no role"},
	"unknown token":          {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["token_slot"] = "env-AWS" }), "is not a token of this bottle; it has env-GH, file-npm"},
	"path as a token":        {queue.CredProxyBlock, askRoute(func(r map[string]any) { r["token_slot"] = "../../etc/passwd" }), "is not a token of this bottle"},
	"empty Dockerfile":       {queue.CapabilityBlock, askDockerfile("\n"), "dockerfile must not be empty"},
	"Dockerfile of RUN":      {queue.CapabilityBlock, askDockerfile("RUN true\nFROM a"), "no build stage in current context"},
	"Dockerfile of comment":  {queue.CapabilityBlock, askDockerfile("# nothing\n"), "dockerfile"},
	"Dockerfile of ARG":      {queue.CapabilityBlock, askDockerfile("ARG A=1\n"), "has no FROM"},
	"Dockerfile of prose":    {queue.CapabilityBlock, askDockerfile("Please install curl"), "unknown instruction: Please"},
	"misspelt instruction":   {queue.CapabilityBlock, askDockerfile("FROM a\nRUNN true"), "did you mean RUN?"},
	"half a here-document":   {queue.CapabilityBlock, askDockerfile("FROM a\nRUN <<EOF\ntrue\n"), "unterminated heredoc"},
	"bad flag":               {queue.CapabilityBlock, askDockerfile("FROM a\nRUN --nonsense true"), "unknown flag: --nonsense"},
	"other frontend":         {queue.CapabilityBlock, askDockerfile("# syntax=evil.example/frontend\nFROM a"), "its syntax line must name docker/dockerfile"},
	"lookalike frontend":     {queue.CapabilityBlock, askDockerfile("# syntax=docker/dockerfile.evil.example/x\nFROM a"), "its syntax line must name docker/dockerfile"},
	"frontend by odd space":  {queue.CapabilityBlock, askDockerfile("#\u00a0syntax\u2003= evil.example/frontend\nFROM a"), "control or invisible"},
	"frontend after others":  {queue.CapabilityBlock, askDockerfile("# escape=\\\n#SYNTAX=evil.example/frontend\nFROM a"), "its syntax line must name docker/dockerfile"},
	"frontend of slashes":    {queue.CapabilityBlock, askDockerfile("// syntax=evil.example/frontend\nFROM a"), "dockerfile"},
	"frontend of JSON":       {queue.CapabilityBlock, askDockerfile("{\"syntax\": \"evil.example/frontend\"}\nFROM a"), "unknown instruction"},
	"hidden by a return":     {queue.CapabilityBlock, askDockerfile("FROM evil\rFROM good"), "control or invisible character"},
	"long Dockerfile":        {queue.CapabilityBlock, askDockerfile("FROM a\n" + strings.Repeat("#", maxDockerfileBytes)), "at most"},
	"huge Dockerfile":        {queue.CapabilityBlock, askDockerfile("FROM a\n" + strings.Repeat("#", maxBodyBytes)), "Too Large"},
	"secret without a name":  {queue.SecretRequest, askSecret("", "https://a.example", ""), "name: it is not a word"},
	"secret of odd name":     {queue.SecretRequest, askSecret("../x", "https://a.example", ""), "name: it is not a word"},
	"secret by plain http":   {queue.SecretRequest, askSecret("a", "http://a.example", ""), "upstream: over plain http everybody on the way can read the token"},
	"secret in upstream":     {queue.SecretRequest, askSecret("a", "https://me:pw@a.example", ""), "upstream: it holds a user name or password"},
	"secret for metadata":    {queue.SecretRequest, askSecret("a", "https://169.254.169.254", ""), "upstream: "},
	"secret of odd path":     {queue.SecretRequest, askSecret("a", "https://a.example", "/a/../"), "path: the path \"/a/../\" is not clean"},
	"secret of other's path": {queue.SecretRequest, askSecret("a", "https://a.example", "/gh/x/"), "overlaps with \"/gh/\""},
	"secret of environment":  {queue.SecretRequest, askSecret("env-GH", "https://api.github.com", ""), "only your human can change it"},
	"secret with a route":    {queue.SecretRequest, askSecret("file-npm", "https://registry.npmjs.org", "/x/"), "has one already"},
	"secret's value":         {queue.SecretRequest, map[string]any{"name": "a", "upstream": "https://a.example", "value": "x", "justification": "j"}, "value"},
	"unknown tool":           {"rm", map[string]any{}, "unknown tool"},
}

func TestBadInputIsNotQueued(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	for name, test := range badInputs {
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
	b := start(t, sidecartest.MemoryDir(t))
	session := b.connect("/mcp")
	for i := range queue.MaxPending {
		callTool(t.Context(), session, queue.PipelockBlock, askURL(fmt.Sprintf("https://%d.example", i)))
	}
	b.pending(queue.MaxPending)
	if failure := b.refused(queue.PipelockBlock, askURL("https://more.example")); !strings.Contains(failure, "too many proposals in a short time") {
		t.Errorf("too fast: %s", failure)
	}
	b.broker.mu.Lock()
	b.broker.fresh.SetBurst(2 * proposalBurst)
	b.broker.fresh.SetLimit(rate.Inf)
	b.broker.mu.Unlock()
	if failure := b.refused(queue.PipelockBlock, askURL("https://more.example")); !strings.Contains(failure, "at most 32 and 8 MiB may. Wait until some of them are answered") {
		t.Errorf("one too many: %s", failure)
	}
	b.answer(b.pending(queue.MaxPending)[0].ID, queue.Answer{Status: queue.Rejected})
	callTool(t.Context(), session, queue.PipelockBlock, askURL("https://more.example"))
	b.until("the next one to be queued", func() bool { return strings.Count(b.log.String(), `"action":"new"`) == queue.MaxPending+1 })
}

// TestProposalOutlivesItsCall goes through every way in which an agent gives up.
func TestProposalOutlivesItsCall(t *testing.T) {
	for _, version := range []string{"", "2025-06-18", "2025-03-26"} {
		t.Run("cancelled context "+version, func(t *testing.T) {
			b := start(t, sidecartest.MemoryDir(t))
			b.version = version
			ctx, cancel := context.WithCancel(t.Context())
			done := callTool(ctx, b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
			b.expectStanding("https://a.example", func() { cancel(); <-done })
		})
		t.Run("cut connection "+version, func(t *testing.T) {
			b := start(t, sidecartest.MemoryDir(t))
			b.version = version
			callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
			b.expectStanding("https://a.example", b.server.CloseClientConnections)
		})
	}
	t.Run("cancelled notification of a session", func(t *testing.T) {
		b := start(t, sidecartest.MemoryDir(t))
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
		b.callers(1)
		b.pending(2)
		select {
		case <-responses[0]:
		case <-responses[1]:
			t.Error("the other client's call was cancelled")
		case <-time.After(patience):
			t.Error("the cancelled call does not end")
		}
	})
}

func TestRestartKeepsProposal(t *testing.T) {
	dir := sidecartest.MemoryDir(t)
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
	after.delivered(1)
}

func TestSessionSurvivesRestart(t *testing.T) {
	dir := sidecartest.MemoryDir(t)
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
	dir := sidecartest.MemoryDir(t)
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
	b.delivered(1)
}

func TestEqualCallsShareOneProposal(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	leaving, cancel := context.WithCancel(t.Context())
	gone := callTool(leaving, b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example"))
	var calls []<-chan outcome
	for range 4 {
		calls = append(calls, callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL("https://a.example")))
	}
	id := b.pending(1)[0].ID
	b.callers(5)
	cancel()
	<-gone
	b.callers(4)
	b.answer(id, queue.Answer{Status: queue.Approved})
	for _, done := range calls {
		b.expect(done, decision{"approved", ""})
	}
	b.delivered(1)
}

func TestRemovedProposalEndsTheCall(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
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
	b := start(t, sidecartest.MemoryDir(t))
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
