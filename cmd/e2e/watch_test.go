package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
	dir, err := os.MkdirTemp("", "bottled") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &apitest.Source{}
	c.Set(apitest.Status(apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Failed", "no image")))
	server, err := api.Listen(t.Context(), api.Options{Source: c, Metrics: prometheus.NewRegistry(), Socket: filepath.Join(dir, "controller.sock"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(t.Context()) }() // the terminal shows whether it serves
	master, terminal := openPTY(t, 60, 10)
	cmd := exec.Command(harness.Binary(t), "status", "--watch", "--run-dir", dir, "--state-dir", dir)
	cmd.Env = append(os.Environ(), "NO_COLOR=", "HOME="+t.TempDir())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	e := terminaltest.New(60, 10)
	raw := &lockedBuffer{}
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(e, raw), master)
		read <- err
	}()
	shows := func(want string) func() bool { return func() bool { return e.Text() == want } }
	defer func() {
		if t.Failed() {
			t.Logf("on the terminal:\n%s\nwritten: %q", e.Text(), raw)
		}
	}()
	const head = "BOTTLE   COMPONENT   READY   STATE    IMAGE\n"
	waitFor(t, "the table is there", shows(head+"a                    yes     Ready\nb                    no      Failed\n\nb: no image\n"))
	if !strings.Contains(raw.String(), "\x1b[31mb                    no      Failed\x1b[0m") {
		t.Errorf("no red: %q", raw)
	}
	c.Set(apitest.Status(apitest.Bottle("a", "Ready", "")))
	waitFor(t, "the table changes in place", shows(strings.Replace(head, "  IMAGE", " IMAGE", 1)+"a                    yes     Ready\n"))
	resizePTY(t, master, 30, 10)
	waitFor(t, "it is cut to the new width", shows(head[:30]+"\na                    yes     R\n"))

	begin := time.Now()
	if _, err := master.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, raw)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Ctrl-C took %s", took)
	}
	if err := <-read; err != nil && !errors.Is(err, syscall.EIO) { // which a terminal that nobody has open gives
		t.Error(err)
	}
	if err := e.Restored(); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
