package supervise

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/queue"
)

func TestHTTP(t *testing.T) {
	b := start(t, sidecartest.MemoryDir(t))
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
	b := start(t, sidecartest.MemoryDir(t))
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

	out := &sidecartest.Buffer{}
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
	if err := healthcheck.ExecuteContext(t.Context()); err == nil {
		t.Error("healthcheck succeeds though nobody serves")
	}
}
