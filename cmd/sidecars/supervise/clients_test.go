package supervise

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	mark3labs "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mark3labsmcp "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/queue"
)

// A caller calls pipelock-block with an MCP client.
type caller func(ctx context.Context, url string) (decision, error)

// clients are the clients that agents use; each connects anew for each call when it is made anew.
var clients = map[string]func(b *bottle, path, version string) caller{
	"official": func(b *bottle, path, version string) caller {
		b.version = version
		session := b.connect(path)
		return func(ctx context.Context, url string) (decision, error) {
			result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: string(queue.PipelockBlock), Arguments: askURL(url)})
			if err != nil {
				return decision{}, err
			}
			return decisionOf(b.t, result.StructuredContent), nil
		}
	},
	"mark3labs": func(b *bottle, path, version string) caller {
		b.t.Helper()
		client, err := mark3labs.NewStreamableHttpClient(b.server.URL+path, transport.WithHTTPTimeout(patience))
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { client.Close() })
		hello := mark3labsmcp.InitializeRequest{Params: mark3labsmcp.InitializeParams{
			ProtocolVersion: version, ClientInfo: mark3labsmcp.Implementation{Name: "agent", Version: "1"},
		}}
		if err := client.Start(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		greeting, err := client.Initialize(b.t.Context(), hello)
		if err != nil {
			b.t.Fatal(err)
		}
		if greeting.ProtocolVersion != version {
			b.t.Errorf("the server speaks %s; want %s", greeting.ProtocolVersion, version)
		}
		return func(ctx context.Context, url string) (decision, error) {
			result, err := client.CallTool(ctx, mark3labsmcp.CallToolRequest{
				Params: mark3labsmcp.CallToolParams{Name: string(queue.PipelockBlock), Arguments: askURL(url)},
			})
			if err != nil {
				return decision{}, err
			}
			return decisionOf(b.t, result.StructuredContent), nil
		}
	},
}

func decisionOf(t *testing.T, structured any) (got decision) {
	t.Helper()
	data, err := json.Marshal(structured)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return got
}

var versions = []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}

// TestClientsWithShortTimeouts has each client give up several times, by its timeout, in each version of the protocol and at each path.
func TestClientsWithShortTimeouts(t *testing.T) {
	const url = "https://a.example"
	for name, connect := range clients {
		for _, version := range versions {
			for _, path := range []string{"", "/", "/mcp", "/mcp/"} {
				t.Run(name+" "+version+" at "+path, func(t *testing.T) {
					b := start(t, sidecartest.MemoryDir(t))
					call := connect(b, path, version)
					for range 3 {
						ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
						if got, err := call(ctx, url); err == nil {
							t.Errorf("%+v, though nobody has answered", got)
						}
						cancel()
					}
					p := b.pending(1)[0]
					b.callers(0)
					b.answer(p.ID, queue.Answer{Status: queue.Approved, Notes: "ok", By: "alice"})
					if got, err := connect(b, path, version)(t.Context(), url); err != nil || got != (decision{"approved", "ok"}) {
						t.Errorf("another connection's call: %+v, %v", got, err)
					}
				})
			}
		}
	}
}

// TestPendingBeforeTheClientGivesUp has clients that wait longer than a call does.
func TestPendingBeforeTheClientGivesUp(t *testing.T) {
	for name, connect := range clients {
		t.Run(name, func(t *testing.T) {
			times := testTiming
			times.wait = 100 * time.Millisecond
			b := startAs(t, sidecartest.MemoryDir(t), nil, times)
			call := connect(b, "/mcp", "2025-06-18")
			for range 2 {
				got, err := call(t.Context(), "https://a.example")
				if err != nil || got.Status != pending || !strings.Contains(got.Notes, "call this tool again with the same arguments") {
					t.Errorf("%+v, %v; want pending", got, err)
				}
			}
			b.callers(0)
			b.answer(b.pending(1)[0].ID, queue.Answer{Status: queue.Expired, By: "bottled"})
			if got, err := call(t.Context(), "https://a.example"); err != nil || got.Status != "expired" {
				t.Errorf("%+v, %v; want expired", got, err)
			}
		})
	}
}

// TestProgressWaitsLonger has a client that asks for progress, which keeps it waiting.
func TestProgressWaitsLonger(t *testing.T) {
	times := testTiming
	times.wait = 50 * time.Millisecond
	b := startAs(t, sidecartest.MemoryDir(t), nil, times)
	params := &mcp.CallToolParams{Name: string(queue.PipelockBlock), Arguments: askURL("https://a.example")}
	params.SetProgressToken("tok")
	session, done := b.connect(""), make(chan outcome, 1)
	go func() {
		result, err := session.CallTool(t.Context(), params)
		done <- outcome{result, err}
	}()
	p := b.pending(1)[0]
	select {
	case o := <-done:
		t.Fatalf("it returned without an answer: %v %s", o.err, text(o.result))
	case <-time.After(5 * times.wait):
	}
	b.answer(p.ID, queue.Answer{Status: queue.Modified, Notes: "less"})
	b.expect(done, decision{"modified", "less"})
}
