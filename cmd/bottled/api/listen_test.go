package api

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
)

func TestSocketIsPrivate(t *testing.T) {
	// What others may do must not depend on the umask.
	defer syscall.Umask(syscall.Umask(0))
	r := start(t, Options{}, defaultPace)
	for path, want := range map[string]os.FileMode{r.socket: os.ModeSocket | 0o600, filepath.Dir(r.socket): os.ModeDir | 0o700} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %s, want %s", path, info.Mode(), want)
		}
	}
}

func listen(t *testing.T, o Options) (*Server, error) {
	t.Helper()
	o.Source, o.Metrics = &apitest.Source{}, prometheus.NewRegistry()
	return Listen(t.Context(), o)
}

func TestStaleSocket(t *testing.T) {
	socket := filepath.Join(shortDir(t), "controller.sock")
	leaveStale(t, socket)
	s, err := listen(t, Options{Socket: socket})
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	// A server that never served leaves nothing.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(socket)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestLiveSocket(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	if _, err := listen(t, Options{Socket: r.socket}); err == nil || !strings.Contains(err.Error(), "another controller listens at "+r.socket) {
		t.Errorf("a second controller: %v", err)
	}
	if _, err := Dial(r.socket).Status(t.Context()); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

func TestBadSockets(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)))
	for socket, says := range map[string]string{
		file:                          "no socket",
		long:                          "shorter --run-dir",
		filepath.Join(file, "c.sock"): "--run-dir",
	} {
		s, err := listen(t, Options{Socket: socket, TCP: "127.0.0.1:0"})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", socket, err, says)
		}
		if s != nil {
			t.Error("a server all the same")
		}
	}
	if data, err := os.ReadFile(file); string(data) != "precious" {
		t.Errorf("the file in the way: %q, %v", data, err)
	}
	// The longest path that is promised to work does.
	r := start(t, Options{Socket: long[:maxSocketPath]}, defaultPace)
	if _, err := Dial(r.socket).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTCPAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:0": true, "127.1.2.3:0": true, "localhost:0": true, "LocalHost:0": true, "[::1]:0": true,
		"0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.0.2.1:0": false, "example.com:0": false, "127.0.0.1": false,
		"localhost.example.com:0": false, "127.0.0.1:port": false, "2130706433:0": false,
	} {
		socket := filepath.Join(shortDir(t), "s")
		s, err := listen(t, Options{Socket: socket, TCP: address})
		if address == "[::1]:0" && err != nil && !hasIPv6(t) {
			t.Logf("no IPv6 here: %v", err)
			continue
		}
		if ok != (err == nil) {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "--listen") {
				t.Errorf("%s: %v does not name the flag", address, err)
			}
			if _, err := os.Lstat(socket); err == nil {
				t.Errorf("%s: the socket was left", address)
			}
			continue
		}
		if tcp, _ := s.TCPAddr().(*net.TCPAddr); !tcp.IP.IsLoopback() {
			t.Errorf("%s: listens at %s", address, tcp)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	taken := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	if _, err := listen(t, Options{Socket: filepath.Join(shortDir(t), "s"), TCP: taken.TCPAddr().String()}); err == nil {
		t.Error("one address twice")
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(net.IPv6loopback) {
			return true
		}
	}
	return false
}

func TestTCPIsReadOnly(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	address := r.TCPAddr().String()
	_, port, _ := net.SplitHostPort(address)
	c := &http.Client{Timeout: 10 * time.Second}
	for _, want := range []struct {
		method, path, host string
		code               int
	}{
		{"GET", "/v1/status", address, 200},
		{"GET", "/v1/status", "localhost:" + port, 200},
		{"GET", "/v1/status", "localhost", 200},
		{"GET", "/v1/status", "LOCALHOST", 200},
		{"GET", "/v1/status", "[::1]:" + port, 200},
		{"GET", "/v1/status", "[::1]", 200},
		{"HEAD", "/v1/status/stream", "127.0.0.1", 200},
		{"GET", "/healthz", "127.0.0.1", 200},
		{"GET", "/metrics", "127.0.0.1", 200},
		{"GET", "/nothing", "127.0.0.1", 404},
		{"GET", "/v1/status", "rebound.example.com", 403},
		{"GET", "/v1/status", "rebound.example.com:" + port, 403},
		{"GET", "/v1/status", "localhost.example.com", 403},
		{"GET", "/v1/status", "127.0.0.1.example.com", 403},
		{"GET", "/v1/status", "192.0.2.1", 403},
		{"GET", "/v1/status/stream", "rebound.example.com", 403},
		{"POST", "/v1/sync", "127.0.0.1", 403},
		{"POST", "/v1/sync", "rebound.example.com", 403},
		{"PUT", "/v1/status", "127.0.0.1", 403},
		{"OPTIONS", "/v1/sync", "127.0.0.1", 403},
	} {
		code, body := call(t, c, want.method, "http://"+address+want.path, want.host)
		if code != want.code {
			t.Errorf("%s %s with host %s: %d %q, want %d", want.method, want.path, want.host, code, body, want.code)
		}
		if want.method == "POST" && want.host == "127.0.0.1" && !strings.Contains(body, "unix socket") {
			t.Errorf("POST: %q", body)
		}
	}
	if code := rawStatus(t, address, "GET /v1/status HTTP/1.0\r\n\r\n"); !strings.Contains(code, " 403 ") {
		t.Errorf("without a Host header: %q", code)
	}
	if r.source.Syncs() != 0 {
		t.Error("TCP made it sync")
	}
}

// rawStatus is the status line of the answer.
func rawStatus(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
