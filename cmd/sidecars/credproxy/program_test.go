package credproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// TestProgram runs the whole sidecar as the container does.
func TestProgram(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	address := sidecartest.FreeAddress(t)
	out := &sidecartest.Buffer{}
	program, err := newProgram(address, b.dirs, func(key string) string {
		return map[string]string{"HTTPS_PROXY": b.pipelock.URL}[key]
	}, zerolog.New(out), out)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Run(t.Context()) }()
	get := func(path string) int {
		t.Helper()
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		return b.whole(resp).StatusCode
	}
	wantConfig(t, out, "start", b.digest())
	if got := get("/a/"); got != http.StatusOK {
		t.Errorf("route: %d", got)
	}
	b.routes(to("/b/", u.URL))
	sighup(t)
	wantConfig(t, out, "signal", b.digest())
	if got := get("/b/"); got != http.StatusOK {
		t.Errorf("new route: %d", got)
	}
	if err := os.Remove(filepath.Join(b.dirs.token, "t")); err != nil {
		t.Fatal(err)
	}
	sighup(t)
	b.until("the token's removal", func() bool { return get("/b/") == http.StatusServiceUnavailable })

	checkHealth(t, address)
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("SIGTERM does not end it")
	}
	noSecret(t, "log", out.String())
}

// wantConfig waits for the program's report about its configuration.
func wantConfig(t *testing.T, out *sidecartest.Buffer, cause, digest string) {
	t.Helper()
	sidecartest.Until(t, "a config event: "+cause, out, func() bool {
		for line := range strings.Lines(out.String()) {
			var e struct{ Event, Cause, Config string }
			if json.Unmarshal([]byte(line), &e) == nil && e.Event == "config" && e.Cause == cause && e.Config == digest {
				return true
			}
		}
		return false
	})
}

// checkHealth runs the health check against the program's address, and one that nobody serves.
func checkHealth(t *testing.T, address string) {
	t.Helper()
	healthcheck := Command()
	healthcheck.SetArgs([]string{"healthcheck", "--listen", address})
	if err := healthcheck.ExecuteContext(t.Context()); err != nil {
		t.Errorf("healthcheck: %v", err)
	}
	healthcheck = Command()
	healthcheck.SetErr(io.Discard)
	healthcheck.SetArgs([]string{"healthcheck", "--listen", sidecartest.FreeAddress(t)})
	if err := healthcheck.ExecuteContext(t.Context()); err == nil {
		t.Error("healthcheck of a port that nobody serves succeeds")
	}
}

func TestRunWithoutProxyRefuses(t *testing.T) {
	if _, err := newProgram("127.0.0.1:0", directories{}, func(string) string { return "" }, zerolog.Nop(), io.Discard); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY is not set") {
		t.Errorf("newProgram: %v; want HTTPS_PROXY", err)
	}
}
