package pipelock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// peakLimit, in MB, leaves some of a container's 256 MiB to the kernel, which counts sockets' buffers as the container's.
const peakLimit = 200

// besieged is a pipelock in a process of its own, on an address that is not loopback, since that is the health check's and
// not bounded.
type besieged struct {
	*running
	upstream string // host:port, allowed
}

func besiege(t *testing.T, program func(...string) *exec.Cmd) *besieged {
	t.Helper()
	own := notLoopback(t)
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
	b.running = startProgramAt(t, program, own.String(), []byte(config), "--internal-subnet", netip.PrefixFrom(own, 32).String())
	<-b.lines // it serves
	go func() {
		for range b.lines { // a full pipe would stop the proxy
		}
	}()
	t.Cleanup(func() {
		if peak := b.peak(); peak > peakLimit {
			t.Errorf("its memory was %d MB at the peak", peak)
		} else {
			t.Logf("its memory was %d MB at the peak", peak)
		}
	})
	return b
}

// realProgram is the executable as it is shipped. With the race detector, which tests are run with, a program has several
// times the memory.
func realProgram(t *testing.T) func(...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bottled")
	cmd := exec.Command("go", "build", "-o", path, "github.com/bot-bottle/bottled/cmd/bottled")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return func(args ...string) *exec.Cmd {
		return exec.Command(path, append([]string{"sidecar", role}, args...)...)
	}
}

func notLoopback(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// peak is the most memory that the process has had, in MB.
func (b *besieged) peak() int {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(b.cmd.Process.Pid), "status"))
	if err != nil {
		b.t.Fatalf("the proxy is gone: %v", err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return kilobytes / 1000
}

// attack opens connections that each send something, all at once, and holds them. It returns what they are answered with.
func (b *besieged) attack(n int, sent string) *answers {
	a := &answers{got: map[string]int{}}
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
			conn.SetDeadline(time.Now().Add(5 * time.Second))
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

// serves fails the test unless a client that behaves is served, again and again, while an attack goes on.
func (b *besieged) serves(a *answers) {
	b.t.Helper()
	over := make(chan struct{})
	go func() { a.all.Wait(); close(over) }()
	served, cutOff, slowest := 0, 0, time.Duration(0)
	for ended := false; !ended; {
		select {
		case <-over:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		start := time.Now()
		err := b.ask()
		// On a busy machine a request may be late enough to be taken for an idle connection. Clients ask again then.
		for again := 0; errors.Is(err, io.ErrUnexpectedEOF) && again < 2; again++ {
			cutOff++
			err = b.ask()
		}
		if err != nil {
			b.t.Fatalf("a client that behaves, after %d requests: %v", served, err)
		}
		served, slowest = served+1, max(slowest, time.Since(start))
	}
	if a.got["HTTP/1.1 400 Bad Request"] > 0 {
		b.t.Errorf("requests were cut in two: %v", a.got)
	}
	b.t.Logf("answers: %v; meanwhile %d requests were served, the slowest after %s, and %d were cut off and asked again", a.got, served, slowest, cutOff)
}

// patience is for machines that have other things to do.
const patience = 30 * time.Second

func (b *besieged) ask() error {
	conn, err := net.DialTimeout("tcp", b.addr, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET http://%s/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", b.upstream, strings.Repeat("x", 1000))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %w", resp.Status, text, err)
	}
	return nil
}

const clients = 2048

// The largest headers that are read, as one line and as many.
var (
	longLine   = "X: " + strings.Repeat("x", headerBytes-1000) + "\r\n"
	shortLines = strings.Repeat("a:\r\n", (headerBytes-1000)/4)
)

// TestAttackMemory has each way in which clients make the proxy hold memory.
func TestAttackMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	program := realProgram(t)
	for name, sent := range map[string]func(b *besieged) string{
		"2,048 clients with 66 KB of headers": func(*besieged) string {
			return "GET http://a.test/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 66<<10) + "\r\n\r\n"
		},
		"headers of one long line": func(b *besieged) string {
			return "GET http://" + b.upstream + "/ HTTP/1.1\r\nHost: x\r\n" + longLine + "\r\n"
		},
		"headers of many short lines": func(b *besieged) string {
			return "GET http://" + b.upstream + "/ HTTP/1.1\r\nHost: x\r\n" + shortLines + "\r\n"
		},
		"headers that don't end":      func(b *besieged) string { return "GET http://" + b.upstream + "/ HTTP/1.1\r\nHost: x\r\n" + shortLines },
		"connections that do nothing": func(*besieged) string { return "" },
		"tunnels with large headers": func(b *besieged) string {
			return "CONNECT " + b.upstream + " HTTP/1.1\r\nHost: x\r\n" + shortLines + "\r\n"
		},
		"requests in one another's go": func(b *besieged) string {
			return strings.Repeat("GET /health HTTP/1.1\r\nHost: x\r\n"+longLine+"\r\n", 4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := besiege(t, program)
			b.serves(b.attack(clients, sent(b)))
		})
	}
}

// TestAttackMemoryOfTunnelsAndBodies: what is too much is refused, and the proxy lives; then all at once, and a client that
// behaves is served.
func TestAttackMemoryOfTunnelsAndBodies(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	program := realProgram(t)
	words := strings.Repeat("some words ", 20<<10/11)
	upload := func(b *besieged) string {
		return "POST http://" + b.upstream + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + words
	}
	// A ClientHello of 60 KB in records, of which the last is missing.
	hello := "\x16\x03\x01\x40\x00\x01\x00\xf0\x00" + strings.Repeat("\x00", 0x4000-4) + strings.Repeat("\x16\x03\x01\x40\x00"+strings.Repeat("\x00", 0x4000), 2)
	tunnel := func(b *besieged) string { return "CONNECT " + b.upstream + " HTTP/1.1\r\nHost: x\r\n\r\n" + hello }
	for name, sent := range map[string]func(b *besieged) string{"bodies": upload, "ClientHellos": tunnel} {
		t.Run(name, func(t *testing.T) {
			b := besiege(t, program)
			a := b.attack(clients, sent(b))
			a.all.Wait()
			t.Logf("answers: %v", a.got)
			b.peak()
		})
	}
	t.Run("all at once", func(t *testing.T) {
		b := besiege(t, program)
		a := b.attack(100, upload(b))
		for _, more := range []*answers{
			b.attack(clients/2, "GET http://"+b.upstream+"/ HTTP/1.1\r\nHost: x\r\n"+shortLines+"\r\n"),
			b.attack(clients/2, "GET http://"+b.upstream+"/ HTTP/1.1\r\nHost: x\r\n"+longLine),
			b.attack(clients/2, ""), b.attack(50, tunnel(b)),
		} {
			a.all.Go(more.all.Wait)
		}
		b.serves(a)
	})
}
