package supervise

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/queue"
)

func TestTooManyCallsForOneProposal(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	session := b.connect("")
	for range maxWaiting {
		callTool(t.Context(), session, queue.PipelockBlock, askURL("https://a.example"))
	}
	b.callers(maxWaiting)
	for _, url := range []string{"https://a.example", "https://b.example"} {
		if failure := b.refused(queue.PipelockBlock, askURL(url)); !strings.Contains(failure, "too many of your calls") {
			t.Errorf("%s: %s", url, failure)
		}
	}
	if _, failure := callNow[configuration](b, listCurrentConfig); failure != "" {
		t.Errorf("a tool that does not wait: %s", failure)
	}
	b.answer(b.pending(1)[0].ID, queue.Answer{Status: queue.Approved})
	b.callers(0)
}

// TestFloodOfProposals asks, gives up and asks anew, as fast as it can.
func TestFloodOfProposals(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	for i := range proposalBurst {
		a, err := b.broker.attach(request{queue.PipelockBlock, fmt.Sprintf("https://%d.example", i)}, "j", false)
		if err != nil {
			t.Fatal(err)
		}
		b.broker.detach(a)
	}
	if failure := b.refused(queue.PipelockBlock, askURL("https://more.example")); !strings.Contains(failure, "too many proposals in a short time") {
		t.Errorf("%s", failure)
	}
	b.pending(proposalBurst)
}

func TestTooManyMessagesInOneRequest(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	for name, message := range map[string]string{
		"calls": `{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{}}`,
		"odd":   `{"jsonrpc":"2.0","id":%d,"method":"ping","params":[]}`,
	} {
		var messages []string
		for i := range maxBatch + 1 {
			messages = append(messages, fmt.Sprintf(message, i))
		}
		resp := b.post("", "["+strings.Join(messages, ",")+"]")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "17 messages in one request") {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
		resp = b.post("", "["+strings.Join(messages[:2], ",")+"]")
		if body, _ := io.ReadAll(resp.Body); name == "calls" && (resp.StatusCode != http.StatusOK || strings.Count(string(body), "pipelock-block") < 2) {
			t.Errorf("a batch of two: %s %s", resp.Status, body)
		}
	}
}

func TestDeepJSON(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	for _, shape := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pipelock-block","arguments":%s}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pipelock-block","_meta":{"x":%s}}}`,
		`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`,
	} {
		for _, nest := range []string{"[", `{"a":`} {
			n := (maxBodyBytes - 1000) / len(nest) / 2
			for _, body := range []string{
				fmt.Sprintf(shape, strings.Repeat(nest, n)+"1"+strings.Repeat(map[string]string{"[": "]"}[nest]+map[string]string{`{"a":`: "}"}[nest], n)),
				fmt.Sprintf(shape, strings.Repeat(nest, n)),
			} {
				resp := b.post("s", body)
				answer, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode >= 500 {
					t.Errorf("%.80s: %s %v %.200s", body, resp.Status, err, answer)
				}
			}
		}
	}
	if _, failure := callNow[configuration](b, listCurrentConfig); failure != "" {
		t.Errorf("afterwards: %s", failure)
	}
	b.pending(0)
}

// TestThousandsOfSessions opens sessions and never comes back to them.
func TestThousandsOfSessions(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	seen := map[string]bool{}
	sessions := 200
	if sidecartest.Nightly() {
		sessions = 2000
	}
	for range sessions {
		session := b.initialize()
		if session == "" || seen[session] {
			t.Fatalf("session %q after %d", session, len(seen))
		}
		seen[session] = true
	}
	if _, failure := callNow[configuration](b, listCurrentConfig); failure != "" {
		t.Errorf("afterwards: %s", failure)
	}
}

// dial sends text over a connection of its own.
func (b *bottle) dial(text string) net.Conn {
	b.t.Helper()
	conn := sidecartest.Dial(b.t, b.server.Listener.Addr().String())
	if _, err := io.WriteString(conn, text); err != nil {
		b.t.Fatal(err)
	}
	return conn
}

const postHead = "POST /mcp HTTP/1.1\r\nHost: supervise:9100\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"

// TestSlowBodies has more clients that send half a request than requests are worked on at once.
func TestSlowBodies(t *testing.T) {
	times := testTiming
	times.read = 300 * time.Millisecond
	b := startAs(t, sidecartest.MemoryDir(t), nil, times)
	var slow []net.Conn
	for range 2 * maxActive {
		slow = append(slow, b.dial(postHead+"Content-Length: 100\r\n\r\n{"))
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "another", Version: "1"}, nil)
	b.until("another client to get its turn", func() bool { // it may be told to come again later
		session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: b.server.URL}, nil)
		if err != nil {
			return false
		}
		defer session.Close()
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: listCurrentConfig})
		return err == nil && !result.IsError
	})
	for _, conn := range slow {
		// Answered or not, the connection ends.
		if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), " 200 ") {
			t.Errorf("half a request: %v %s", err, answer)
		}
	}
}

// TestWaitOutlastsTimeouts has a call that waits longer than a request may take to be read and written.
func TestWaitOutlastsTimeouts(t *testing.T) {
	times := timing{keepAlive: 50 * time.Millisecond, wait: patience, read: 200 * time.Millisecond, write: 200 * time.Millisecond}
	b := startAs(t, sidecartest.MemoryDir(t), nil, times)
	conn := b.dial("")
	answers := bufio.NewReader(conn)
	say := func(body string) *http.Response {
		fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", postHead, len(body), body)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	call := say(rawCall(1, "https://a.example"))
	events := bufio.NewReader(call.Body)
	for keepAlives := 0; keepAlives < 10; { // twice as long
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, ": waiting") {
			keepAlives++
		}
	}
	b.answer(b.pending(1)[0].ID, queue.Answer{Status: queue.Approved})
	if rest, err := io.ReadAll(events); err != nil || !strings.Contains(string(rest), "approved") {
		t.Errorf("%q, %v", rest, err)
	}
	again := say(`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`) // the connection is good for more
	if _, err := io.ReadAll(again.Body); err != nil || again.StatusCode != http.StatusOK {
		t.Errorf("%s, %v", again.Status, err)
	}
	b.delivered(1)
}

// TestSlowReader has a client that asks for much and reads nothing: its turn goes back to the others.
func TestSlowReader(t *testing.T) {
	times := testTiming
	times.write = 300 * time.Millisecond
	b := startAs(t, sidecartest.MemoryDir(t), nil, times)
	sidecartest.WriteFile(t, b.current+"/Dockerfile", strings.Repeat("# "+strings.Repeat("x", 100)+"\n", 9000)) // an answer of two megabytes
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list-current-config","arguments":{}}}`
	one := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", postHead, len(body), body)
	for range maxActive {
		b.dial(strings.Repeat(one, 6))
	}
	session := b.connect("")
	// The kernel's buffers fill, all slots are taken, and writes time out.
	for cut := time.Now().Add(4 * times.write); time.Now().Before(cut); {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: proposalStatus})
		cancel()
		if err != nil || !strings.Contains(text(result), `"proposals":[]`) {
			t.Fatalf("another client's call: %v %s", err, text(result))
		}
	}
}

// TestStreamsEnd uses a method of the protocol that keeps a response open, if there is something to subscribe to.
func TestStreamsEnd(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	var ends sync.WaitGroup
	for range 2 * maxActive {
		req := b.request("", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+meta+`}}`)
		req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		req.Header.Set("Mcp-Method", "subscriptions/listen")
		ends.Go(func() {
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return // cut off
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // until it is cut off
		})
	}
	ended := make(chan struct{})
	go func() { ends.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the streams do not end")
	}
	if _, failure := callNow[configuration](b, listCurrentConfig); failure != "" {
		t.Errorf("afterwards: %s", failure)
	}
}

// TestConnectionFlood opens more connections than there are places for, which do nothing, or send headers without an end: a
// client that sends a request is served.
func TestConnectionFlood(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing": "", "half a header": "POST /mcp HTTP/1.1\r\nHost: supervise\r\n" + strings.Repeat("a:\r\n", maxHeaderBytes/5),
	} {
		t.Run(name, func(t *testing.T) {
			at, err := net.Listen("tcp4", "0.0.0.0:0")
			if err != nil {
				t.Fatal(err)
			}
			startAs(t, sidecartest.MemoryDir(t), at, testTiming)
			_, port, _ := net.SplitHostPort(at.Addr().String())
			dial := func(sent string) net.Conn {
				conn, err := net.Dial("tcp", net.JoinHostPort(sidecartest.NotLoopback(t).String(), port))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				_, _ = io.WriteString(conn, sent) // it may be closed again
				return conn
			}
			for range 3 * maxConnections {
				dial(sent)
			}
			conn := dial("GET /healthz HTTP/1.1\r\nHost: supervise\r\n\r\n")
			_ = conn.SetDeadline(time.Now().Add(patience))
			if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 200 ") {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

// TestConcurrentAgents has many clients that ask for different things, give up, and ask what is going on.
func TestConcurrentAgents(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
	var clients sync.WaitGroup
	for i := range 12 {
		session := b.connect("")
		clients.Go(func() {
			done := callTool(t.Context(), session, queue.PipelockBlock, askURL(fmt.Sprintf("https://%d.example", i)))
			for range 5 {
				if _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: proposalStatus}); err != nil {
					t.Error(err)
				}
			}
			if o := <-done; o.err != nil || !strings.Contains(text(o.result), fmt.Sprintf("no %d", i)) {
				t.Errorf("agent %d: %v %s", i, o.err, text(o.result))
			}
		})
	}
	for _, p := range b.pending(12) {
		n := strings.TrimSuffix(strings.TrimPrefix(p.Payload, "https://"), ".example")
		b.answer(p.ID, queue.Answer{Status: queue.Rejected, Notes: "no " + n})
	}
	clients.Wait()
	b.delivered(12)
}
