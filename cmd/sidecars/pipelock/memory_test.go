package pipelock

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// peakLimit, in bytes, leaves some of a container's 256 MiB to the kernel, which counts sockets' buffers as the container's.
const peakLimit = 190 * sidecartest.MiB

// besieged is a pipelock in a process of its own, on an address that is not loopback, since that is the health check's and
// not bounded.
type besieged struct {
	*running
	upstream string // host:port, allowed
}

func besiege(t *testing.T, executable string) *besieged {
	t.Helper()
	own := sidecartest.NotLoopback(t)
	b := &besieged{}
	b.upstream = net.JoinHostPort("127.0.0.1", tcpServer(t, func(conn *net.TCPConn) {
		br := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				io.Copy(io.Discard, conn)
				return
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	config := settings([]string{"127.0.0.1", b.upstream}, "request_body_scanning: {enabled: true, action: block, max_body_bytes: 33554432}\n")
	program := func(args ...string) *exec.Cmd {
		return exec.Command(executable, append([]string{"sidecar", role}, args...)...)
	}
	b.running = startProgramAt(t, program, own.String(), []byte(config), "--internal-subnet", netip.PrefixFrom(own, 32).String())
	<-b.lines // it serves
	go func() {
		for range b.lines { // a full pipe would stop the proxy
		}
	}()
	t.Cleanup(func() {
		peak := sidecartest.PeakMemory(t, b.cmd.Process.Pid)
		t.Logf("its memory was %d MiB at the peak", peak/sidecartest.MiB)
		if peak > peakLimit {
			t.Error("which is too much")
		}
	})
	return b
}

// attack opens connections that each send something, all at once, and holds them. It returns what they are answered with.
func (b *besieged) attack(n int, sent string) *answers {
	a, hold := &answers{got: map[string]int{}}, 3*time.Second // longer than a connection may wait for its request
	if sidecartest.Nightly() {
		hold = 5 * time.Second
	}
	dialled := make(chan struct{}, 64) // more at once would only queue in the kernel
	for range n {
		a.all.Go(func() {
			dialled <- struct{}{}
			conn, err := net.DialTimeout("tcp", b.addr, 30*time.Second)
			<-dialled
			if err != nil {
				a.count("no connection")
				return
			}
			b.t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(hold))
			_, _ = io.WriteString(conn, sent) // it may be refused before all is sent
			line, _ := bufio.NewReader(conn).ReadString('\n')
			a.count(strings.TrimSpace(line))
		})
	}
	return a
}

// answers are the status lines of an attack; "" for a connection that ended, or got none in time.
type answers struct {
	all sync.WaitGroup
	mu  sync.Mutex
	got map[string]int
}

func (a *answers) count(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got[line]++
}

// serves fails the test unless a client that behaves is served, again and again, while an attack goes on. On a busy machine its
// request may be too late: then it gets 503, and is never cut off.
func (b *besieged) serves(a *answers) {
	b.t.Helper()
	over := make(chan struct{})
	go func() { a.all.Wait(); close(over) }()
	served, refused, slowest := 0, 0, time.Duration(0)
	for ended := false; !ended; {
		select {
		case <-over:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		start := time.Now()
		switch status, err := b.ask(); {
		case err != nil:
			b.t.Fatalf("a client that behaves, after %d requests: %v", served, err)
		case status == http.StatusServiceUnavailable:
			refused++
		default:
			served, slowest = served+1, max(slowest, time.Since(start))
		}
	}
	if served <= refused {
		b.t.Errorf("of a client that behaves %d requests were served and %d refused", served, refused)
	}
	if a.got["HTTP/1.1 400 Bad Request"] > 0 {
		b.t.Errorf("requests were cut in two: %v", a.got)
	}
	b.t.Logf("answers: %v; meanwhile %d requests were served, the slowest after %s, and %d refused", a.got, served, slowest, refused)
}

func (b *besieged) ask() (status int, err error) {
	conn, err := net.DialTimeout("tcp", b.addr, sidecartest.Patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(sidecartest.Patience))
	fmt.Fprintf(conn, "GET http://%s/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", b.upstream, strings.Repeat("x", 1000))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK && !strings.Contains(string(text), "try again") {
		return 0, fmt.Errorf("%s: %s, %w", resp.Status, text, err)
	}
	return resp.StatusCode, nil
}

const clients = 2048

// The largest headers that are read, as one line and as many.
var (
	longLine   = "X: " + strings.Repeat("x", headerBytes-1000) + "\r\n"
	shortLines = strings.Repeat("a:\r\n", (headerBytes-1000)/4)
)

// memoryAttacks are what a connection sends in each way in which clients make the proxy hold memory.
var memoryAttacks = map[string]func(b *besieged) string{
	"2,048 clients with 66 KB of headers": func(*besieged) string {
		return "GET http://a.test/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 66<<10) + "\r\n\r\n"
	},
	"headers of one long line":    func(b *besieged) string { return b.head("GET") + longLine + "\r\n" },
	"headers of many short lines": func(b *besieged) string { return b.head("GET") + shortLines + "\r\n" },
	"headers that don't end":      func(b *besieged) string { return b.head("GET") + shortLines },
	"connections that do nothing": func(*besieged) string { return "" },
	"tunnels with large headers": func(b *besieged) string {
		return "CONNECT " + b.upstream + " HTTP/1.1\r\nHost: x\r\n" + shortLines + "\r\n"
	},
	"tunnels with large headers in them": func(b *besieged) string {
		return "CONNECT " + b.upstream + " HTTP/1.1\r\nHost: x\r\n" + shortLines + "\r\nGET / HTTP/1.1\r\nHost: " + b.upstream + "\r\n" + shortLines + "\r\n"
	},
	"requests in one another's go": func(*besieged) string {
		return strings.Repeat("GET /health HTTP/1.1\r\nHost: x\r\n"+longLine+"\r\n", 4)
	},
	"bodies":          (*besieged).upload,
	"windows of br":   func(b *besieged) string { return b.coded("br") },
	"windows of zstd": func(b *besieged) string { return b.coded("zstd") },
	"empty blocks of gzip": func(b *besieged) string {
		return b.head("POST") + "Content-Encoding: gzip\r\nContent-Length: 2000000\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x00\xff\xff", 90_000)
	},
	"ClientHellos": (*besieged).hello,
}

// everyDay names the attacks that are made every day, one of each kind; the others are nightly. So is all of it at once.
var everyDay = []string{"headers of one long line", "ClientHellos", "windows of br"}

// takeAll names the attacks that take all of the budget that each exchange needs a share of: then a client that behaves may be refused.
var takeAll = []string{"bodies", "ClientHellos", "windows of br", "windows of zstd", "empty blocks of gzip"}

func (b *besieged) head(method string) string {
	return method + " http://" + b.upstream + "/ HTTP/1.1\r\nHost: x\r\n"
}

func (b *besieged) upload() string {
	return b.head("POST") + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("some words ", 20<<10/11)
}

// coded uploads what fills the largest window that a coding may have, and of which the end is missing.
func (b *besieged) coded(encoding string) string {
	var out bytes.Buffer
	w := io.WriteCloser(brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 1, LGWin: 24}))
	if encoding == "zstd" {
		z, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.t.Fatal(err)
		}
		w = z
	}
	if _, err := io.Copy(w, io.LimitReader(&repeated{text: []byte(strings.Repeat("some words ", 1000))}, 20<<20)); err != nil {
		b.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprintf("%sContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", b.head("POST"), encoding, out.Len(), out.Bytes()[:out.Len()-8])
}

// hello asks for a tunnel, with a ClientHello of 60 KB in records, of which the last is missing.
func (b *besieged) hello() string {
	return "CONNECT " + b.upstream + " HTTP/1.1\r\nHost: x\r\n\r\n" +
		"\x16\x03\x01\x40\x00\x01\x00\xf0\x00" + strings.Repeat("\x00", 0x4000-4) + strings.Repeat("\x16\x03\x01\x40\x00"+strings.Repeat("\x00", 0x4000), 2)
}

// TestAttackMemory: pipelock stays within its memory, and serves a client that behaves.
func TestAttackMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	executable := sidecartest.BuildBottled(t)
	for name, sent := range memoryAttacks {
		if !sidecartest.Nightly() && !slices.Contains(everyDay, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := besiege(t, executable)
			a := b.attack(clients, sent(b))
			if slices.Contains(takeAll, name) {
				a.all.Wait()
				t.Logf("answers: %v", a.got)
				return
			}
			b.serves(a)
		})
	}
	if !sidecartest.Nightly() {
		return
	}
	t.Run("all at once", func(t *testing.T) {
		b := besiege(t, executable)
		a := b.attack(100, b.upload())
		for _, more := range []*answers{
			b.attack(clients/2, b.head("GET")+shortLines+"\r\n"), b.attack(clients/2, b.head("GET")+longLine), b.attack(clients/2, ""), b.attack(50, b.hello()),
		} {
			a.all.Go(more.all.Wait)
		}
		b.serves(a)
	})
}
