package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// TestWatchOnTerminal runs the real command on a terminal, until Ctrl-C.
func TestWatchOnTerminal(t *testing.T) {
	t.Parallel()
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Failed", "no image")))
	dir := serveStatus(t, source)
	cmd := exec.Command(harness.Binary(t), "status", "--watch", "--run-dir", dir, "--state-dir", dir)
	cmd.Env = append(os.Environ(), "NO_COLOR=", "HOME="+t.TempDir())
	screen := terminaltest.New(60, 10)
	c, master := startOnTerminal(t, cmd, 60, 10, screen)
	shows := func(what, want string) { waitFor(t, what, func() bool { return screen.Text() == want }) }

	const head = "BOTTLE   COMPONENT   READY   STATE    IMAGE\n"
	shows("the table is there", head+"a                    yes     Ready\nb                    no      Failed\n\nb: no image\n")
	if !strings.Contains(c.out.String(), "\x1b[31mb                    no      Failed\x1b[0m") {
		t.Errorf("no red: %q", c.out)
	}
	source.Set(apitest.Status(apitest.Bottle("a", "Ready", "")))
	shows("the table changes in place", strings.Replace(head, "  IMAGE", " IMAGE", 1)+"a                    yes     Ready\n")
	resizePTY(t, master, 30, 10)
	shows("it is cut to the new width", head[:30]+"\na                    yes     R\n")

	begin := time.Now()
	c.types("\x03")
	c.ends(exitDone)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Ctrl-C took %s", took)
	}
	waitFor(t, "the terminal is as it was", func() bool { return screen.Restored() == nil })
}

// serveStatus serves a status as a controller does, in the run directory that it returns.
func serveStatus(t *testing.T, source *apitest.Source) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bottled") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := api.Listen(t.Context(), api.Options{
		Source: source, Metrics: prometheus.NewRegistry(), Socket: filepath.Join(dir, "controller.sock"), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(t.Context()) }() // the terminal shows whether it serves
	return dir
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(wellWithin); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
