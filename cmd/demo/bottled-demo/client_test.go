package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// execute runs a command line of the program.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/long":
			_, _ = w.Write(bytes.Repeat([]byte("x"), 2*maxShown))
		case "/events":
			w.Header().Set("Content-Type", eventStream)
			_, _ = w.Write(bytes.Repeat([]byte("data: x\n\n"), maxShown))
		case "/no":
			http.Error(w, "blocked", http.StatusForbidden)
		case "/slow":
			<-r.Context().Done()
		case "/elsewhere":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			_ = json.NewEncoder(w).Encode([]string{r.Method, r.Header.Get("X-A"), r.Host, string(body)})
		}
	}))
	defer server.Close()
	refused := closedPort(t)
	cases := []struct {
		name      string
		args      []string
		out, fail string
	}{
		{"GET", []string{server.URL}, "HTTP/1.1 200 OK\n[\"GET\",", ""},
		{"POST with a body", []string{server.URL, "-d", "hey"}, `["POST","","` + server.Listener.Addr().String() + `","hey"]`, ""},
		{"method, header, host", []string{server.URL, "-X", "PUT", "-H", "X-A: b", "-H", "Host: example.com"}, `["PUT","b","example.com",""]`, ""},
		{"long body", []string{server.URL + "/long"}, "x\n… (cut)\n", ""},
		{"events", []string{server.URL + "/events"}, strings.Repeat("data: x\n\n", maxShown), ""},
		{"no success", []string{server.URL + "/no"}, "HTTP/1.1 403 Forbidden\nblocked\n", "not a success: 403"},
		{"redirect", []string{server.URL + "/elsewhere"}, "HTTP/1.1 302 Found\n", "not a success: 302"},
		{"slow", []string{server.URL + "/slow", "--timeout", "100ms"}, "", "no answer: timeout"},
		{"refused", []string{"http://" + refused}, "", "no answer: refused"},
		{"bad header", []string{server.URL, "-H", "nonsense"}, "", `write it as "Name: value"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := execute(t, append([]string{"fetch", "--direct"}, c.args...)...)
			if !strings.Contains(out, c.out) {
				t.Errorf("prints %q, want %q in it", out, c.out)
			}
			switch {
			case c.fail == "" && err != nil:
				t.Error(err)
			case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)):
				t.Errorf("error %v, want %q in it", err, c.fail)
			}
		})
	}
}

func TestFetchSaysWhyTheProxyRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "blocked: "+r.Method+" "+r.Host, http.StatusForbidden)
	}))
	defer proxy.Close()
	// The environment is read once a process, so the proxy is given here; `fetch` in a bottle has it from there.
	r := request{url: "https://api.demo.example/", timeout: 5 * time.Second}
	client := r.client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("not a transport")
	}
	transport.Proxy = func(req *http.Request) (*url.URL, error) { return req.URL.Parse(proxy.URL) }
	req, err := r.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("no error")
	}
	if want := "the proxy answered 403 Forbidden: blocked: CONNECT api.demo.example:443"; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q in it", err, want)
	}
	if got := why(err); got != "refused by the proxy" {
		t.Errorf("why is %q", got)
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

func TestDial(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	open, closed := server.Listener.Addr().String(), closedPort(t)
	out, err := execute(t, "dial", open, closed)
	if want := open + " open\n" + closed + " closed: refused\n"; out != want {
		t.Errorf("prints %q, want %q", out, want)
	}
	if err == nil || err.Error() != "1 of 2 failed" {
		t.Errorf("error %v", err)
	}
	if _, err := execute(t, "dial", open); err != nil {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	out, err := execute(t, "resolve", "127.0.0.1")
	if err != nil || out != "127.0.0.1 127.0.0.1\n" {
		t.Errorf("prints %q, error %v", out, err)
	}
}

func TestTools(t *testing.T) {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	type question struct {
		What string `json:"what"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "ask", Description: "Ask a human. Blocks."},
		func(_ context.Context, _ *mcp.CallToolRequest, q question) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: q.What + ", please"}}}, nil, nil
		})
	http := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	defer http.Close()
	out, err := execute(t, "tools", http.URL)
	if err != nil || out != "ask: Ask a human\n" {
		t.Errorf("prints %q, error %v", out, err)
	}
	for _, client := range []string{"official", "mark3labs"} {
		out, err := execute(t, "tools", "--client", client, http.URL, "ask", `{"what":"more"}`)
		if err != nil || out != "more, please\n" {
			t.Errorf("%s prints %q, error %v", client, out, err)
		}
		if out, err := execute(t, "tools", "--client", client, http.URL, "ask", `{"what":1}`); err == nil {
			t.Errorf("%s: no error for a wrong argument; prints %q", client, out)
		}
		if _, err := execute(t, "tools", "--client", client, "http://"+closedPort(t), "ask"); err == nil {
			t.Errorf("%s: no error where nobody listens", client)
		}
	}
	if _, err := execute(t, "tools", "--client", "other", http.URL, "ask"); err == nil {
		t.Error("no error for a client that is not there")
	}
}

// TestPrepare serves with the files and reaches the server with the authority alone.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	if _, err := execute(t, "prepare", dir, "--host", "api.demo.example", "--host", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{caFile: 0o644, certFile: 0o644, keyFile: 0o600, tokenFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, name := range []string{"api.demo.example", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.example"}); err == nil {
		t.Error("the certificate is good for any name")
	}
}

func TestPrepareMakesAnotherTokenEachTime(t *testing.T) {
	var tokens []string
	for range 2 {
		dir := t.TempDir()
		if err := prepare(dir, []string{"x.example"}); err != nil {
			t.Fatal(err)
		}
		token, err := os.ReadFile(filepath.Join(dir, tokenFile))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, string(token))
	}
	if tokens[0] == tokens[1] || len(tokens[0]) < 20 {
		t.Errorf("tokens %q", tokens)
	}
}
