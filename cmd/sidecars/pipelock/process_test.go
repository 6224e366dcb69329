package pipelock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// asProgram makes the test binary be the program.
const asProgram = "PIPELOCK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	cmd := Command()
	cmd.SilenceErrors = true
	cmd.SetArgs(os.Args[1:])
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	// A proxy in the environment must have no say.
	cmd.Env = append(os.Environ(), asProgram+"=1", "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=")
	return cmd
}

// running is a `pipelock run` in a process of its own.
type running struct {
	t      testing.TB
	cmd    *exec.Cmd
	addr   string
	config string
	lines  chan string
}

func startProgram(t testing.TB, config []byte) *running {
	t.Helper()
	return startProgramAt(t, program, "127.0.0.1", config)
}

func startProgramAt(t testing.TB, program func(...string) *exec.Cmd, address string, config []byte, args ...string) *running {
	t.Helper()
	free, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	r := &running{t: t, addr: free.Addr().String(), config: filepath.Join(t.TempDir(), "pipelock.yaml"), lines: make(chan string, 100)}
	r.replace(config)
	r.cmd = program(append([]string{"run", "--listen", r.addr, "--config", r.config}, args...)...)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			r.lines <- s.Text()
		}
		close(r.lines)
	}()
	t.Cleanup(func() { r.cmd.Process.Kill() })
	return r
}

// replace writes the file as the controller does.
func (r *running) replace(config []byte) string {
	r.t.Helper()
	next := r.config + ".next"
	if err := os.WriteFile(next, config, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, r.config); err != nil {
		r.t.Fatal(err)
	}
	return configdigest.Of(map[string][]byte{"pipelock.yaml": config})
}

// wantEvent waits for the next config event.
func (r *running) wantEvent(level, cause, digest string) map[string]any {
	r.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case line, open := <-r.lines:
			var event map[string]any
			if !open {
				r.t.Fatal("the program ended")
			}
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				r.t.Fatalf("%q is no JSON line: %v", line, err)
			}
			if event["event"] != "config" {
				continue
			}
			if event["level"] != level || event["cause"] != cause || event["config"] != digest || event["role"] != "pipelock" {
				r.t.Fatalf("got %s, want %s, %s, %s", line, level, cause, digest)
			}
			return event
		case <-timeout:
			r.t.Fatalf("no config event (want %s, %s)", level, cause)
		}
	}
}

func (r *running) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

func render(t *testing.T, allow ...string) []byte {
	t.Helper()
	config, err := pipelockconf.Render(pipelockconf.Options{
		Allowlist:   allow,
		IPAllowlist: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // where the tests' upstreams are
	})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestProgram(t *testing.T) {
	port, kept := echo(t), echo(t)
	config := render(t, "127.0.0.1:"+port, "127.0.0.1:"+kept)
	r := startProgram(t, config)
	first := configdigest.Of(map[string][]byte{"pipelock.yaml": config})
	r.wantEvent("info", "start", first)
	if out, err := program("healthcheck", "--addr", r.addr).CombinedOutput(); err != nil {
		t.Errorf("healthcheck: %v: %s", err, out)
	}
	conn := r.tunnel("127.0.0.1:"+kept, "200")

	r.signal(syscall.SIGHUP)
	r.wantEvent("info", "signal", first)

	revoked := r.tunnel("127.0.0.1:"+port, "200")
	second := r.replace(render(t, "127.0.0.1:"+kept))
	r.signal(syscall.SIGHUP)
	r.wantEvent("info", "signal", second)
	if n, err := revoked.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the tunnel to what left the allowlist: %d, %v", n, err)
	}
	r.tunnel("127.0.0.1:"+port, "403")

	r.replace([]byte("mode: strict\nno_such_key: 1\n"))
	r.signal(syscall.SIGHUP)
	if event := r.wantEvent("error", "signal", second); !strings.Contains(fmt.Sprint(event["error"]), "no_such_key") {
		t.Errorf("the error does not name the key: %v", event)
	}
	r.tunnel("127.0.0.1:"+port, "403")

	// The tunnel to what stayed is still there.
	conn.Write(helloTo(t, ""))
	io.WriteString(conn, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("the open tunnel: %q, %v", got, err)
	}

	r.signal(syscall.SIGTERM)
	for range r.lines { // Wait may only be called when stderr has been read
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if err := program("healthcheck", "--addr", r.addr).Run(); err == nil {
		t.Error("the health check of a program that is gone succeeded")
	}
}

// tunnel asks for one and checks the status of the answer.
func (r *running) tunnel(authority, status string) net.Conn {
	r.t.Helper()
	conn := sidecartest.Dial(r.t, r.addr)
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", authority)
	answer := make([]byte, len("HTTP/1.1 200 Connection Established\r\n\r\n"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		r.t.Fatal(err)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 "+status) {
		r.t.Errorf("CONNECT %s: got %q, want %s", authority, answer, status)
	}
	return conn
}

func TestProgramRefusesBadConfiguration(t *testing.T) {
	for name, c := range map[string]struct{ config, message string }{
		"unknown key":  {"mode: strict\nallowlist: [a.test]\n", "field allowlist not found"},
		"DLP action":   {settings([]string{"a.test"}, "request_body_scanning: {enabled: true, action: strip}"), "neither block nor warn"},
		"no allowlist": {"mode: strict\nforward_proxy: {enabled: true}\n", "at least one entry"},
		"bad entry":    {settings([]string{"a.test:x"}, ""), "a.test:x"},
		"no SNI check": {strings.Replace(settings([]string{"a.test"}, ""), "enabled: true", "enabled: true, sni_verification: false", 1), "cannot leave server names unverified"},
		"bad range":    {settings([]string{"a.test"}, "ssrf: {}"), "already defined"},
		"empty file":   {"", "EOF"},
	} {
		path := filepath.Join(t.TempDir(), "pipelock.yaml")
		if err := os.WriteFile(path, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := program("run", "--listen", "127.0.0.1:0", "--config", path).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.message) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
	if out, err := program("run", "--config", filepath.Join(t.TempDir(), "none.yaml")).CombinedOutput(); err == nil {
		t.Errorf("without a file: %s", out)
	}
}
