// Package sidecartest provides what the tests of the sidecars share.
package sidecartest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Patience is how long a test waits for what it expects.
const Patience = time.Minute

// Nightly reports whether attacks run in full. Otherwise a sample of them does, for a shorter time.
func Nightly() bool { return os.Getenv("BOTTLED_TEST_NIGHTLY") != "" }

// Until waits until ok returns true. If it does not, the test fails with the log, if there is one.
func Until(tb testing.TB, what string, log fmt.Stringer, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			if log == nil {
				tb.Fatalf("waited in vain for %s", what)
			}
			tb.Fatalf("waited in vain for %s; log:\n%s", what, log)
		}
	}
}

// BuildBottled builds the executable as it is released. The test's own, with the race detector, takes several times the memory.
func BuildBottled(tb testing.TB) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "bottled")
	build := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-o", path, "github.com/bot-bottle/bottled/cmd/bottled")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// FreeAddress returns an address on loopback, host:port, that nobody listens on.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// NotLoopback returns an address of this machine. Connections over loopback are the health check's: sidecars don't limit them.
func NotLoopback(tb testing.TB) netip.Addr {
	tb.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		tb.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	tb.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// Dial connects until the test's end. All that is done with the connection must end within Patience.
func Dial(tb testing.TB, address string) net.Conn {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// Ask sends a request, byte for byte, and returns the response.
func Ask(tb testing.TB, conn net.Conn, request string) *http.Response {
	tb.Helper()
	_, _ = io.WriteString(conn, request) // it may be answered before all is sent
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		tb.Fatalf("%.200q: %v", request, err)
	}
	return resp
}

// MemoryDir returns an empty directory, in memory if the host has a file system there: what is synced takes long on a busy disk.
func MemoryDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sidecartest-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// WriteFile writes a file that only its owner can read.
func WriteFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}
