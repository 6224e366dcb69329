package credproxy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// containerMemory is what the container of a cred-proxy may use, in bytes.
const containerMemory = 256 << 20

// process is a cred-proxy in a process of its own, with routes to an upstream over TLS (/two/ HTTP/2, /one/ HTTP/1) and a
// plain one (/plain/). What they answer depends on the path: see serveMemory.
type process struct {
	*testing.T
	address  string
	cmd      *exec.Cmd
	conns    []net.Conn
	mu       sync.Mutex
	statuses map[string]int // first lines of answers
	crowded  bool           // the attack takes all places for requests, so that others get 503
}

// serveMemory answers /hello with a line, /wait when the request ends, /flood without end, /large with a large header, and
// reads no body but that of /hello.
func serveMemory(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/wait"):
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/flood"):
		for piece := bytes.Repeat([]byte("x"), 32<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	case strings.HasSuffix(r.URL.Path, "/large"):
		for i := range 400 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("v", 100))
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		_, _ = io.WriteString(w, "hello")
	}
}

func newProcess(t *testing.T, executable string) *process {
	t.Helper()
	two, one := newUpstream(t, serveMemory), newUpstreamHTTP1(t, http.HandlerFunc(serveMemory))
	pipelock := newPipelock(t)
	pipelock.forwarder = &http.Transport{MaxIdleConnsPerHost: maxExchanges} // a dial for each request would take all ports
	t.Cleanup(pipelock.forwarder.CloseIdleConnections)
	plain := newPlainUpstream(t) // ends before pipelock does, which waits for it
	dirs := directories{t.TempDir(), t.TempDir()}
	writeFile(t, dirs.token+"/t", marker)
	writeFile(t, dirs.config+"/"+caFile, string(two.ca())+string(one.ca()))
	data, err := model.Render([]model.Route{to("/two/", two.URL), to("/one/", one.URL), to("/plain/", plain)})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dirs.config+"/"+routesFile, string(data))
	p := &process{T: t, address: freeAddress(t), statuses: map[string]int{}}
	p.cmd = exec.Command(executable, "sidecar", "cred-proxy", "run", "--listen", p.address, "--config-dir", dirs.config, "--token-dir", dirs.token)
	p.cmd.Env = append(os.Environ(), "HTTPS_PROXY="+pipelock.URL)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, conn := range p.conns {
			conn.Close()
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the cred-proxy ended with %v", err)
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func newPlainUpstream(t *testing.T) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(serveMemory)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String()
}

// memory returns a field of the process's status, in bytes.
func (p *process) memory(field string) (bytes int64) {
	p.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.Fatalf("the cred-proxy is gone: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, field+": %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	p.Fatalf("no %s", field)
	return 0
}

// attack runs clients at the same time, each with a connection that stays open, while a well-behaved client comes again and
// again.
func (p *process) attack(clients int, hold time.Duration, attacker func(net.Conn) error) {
	p.Helper()
	stop := make(chan struct{})
	served := make(chan int)
	var worst atomic.Int64
	go func() { served <- p.behave(stop, &worst) }()
	var group sync.WaitGroup
	for range clients { // before the attack: among thousands of busy goroutines each dial would wait for its turn
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			p.Error(err)
			break
		}
		p.conns = append(p.conns, conn)
	}
	p.accepted()
	for _, conn := range p.conns {
		group.Go(func() { _ = attacker(conn) }) // it is cut off, or not
	}
	hung := time.After(hold)
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	<-hung
	close(stop)
	n := <-served
	peak := p.memory("VmHWM")
	p.Logf("%d clients: peak %.0f MiB, now %.0f; %d requests of others served, the slowest in %s; answers %v",
		clients, mebi(peak), mebi(p.memory("VmRSS")), n, time.Duration(worst.Load()), p.answers())
	if peak > containerMemory {
		p.Errorf("the memory peak is %.0f MiB; the container has %.0f", mebi(peak), mebi(containerMemory))
	}
	if n == 0 {
		p.Error("a well-behaved client was not served")
	}
	for _, conn := range p.conns {
		conn.Close()
	}
	<-done
}

// accepted waits until all connections so far are accepted: they are before a later one is.
func (p *process) accepted() {
	p.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + p.address + healthPath)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.Fatalf("before the attack: %s", resp.Status)
	}
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (p *process) answers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.statuses)
}

// behave makes one request after the other, each on a connection of its own.
func (p *process) behave(stop chan struct{}, worst *atomic.Int64) (served int) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * patience}
	for {
		select {
		case <-stop:
			return served
		case <-time.After(50 * time.Millisecond):
		}
		begin := time.Now()
		resp, err := client.Get("http://" + p.address + "/plain/hello")
		if err != nil {
			p.Errorf("a well-behaved client: %v", err)
			return served
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		full := p.crowded && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "requests are open")
		if !full && (resp.StatusCode != http.StatusOK || string(body) != "hello") {
			p.Errorf("a well-behaved client: %s %q %v", resp.Status, body, err)
			return served
		}
		worst.Store(max(worst.Load(), int64(time.Since(begin))))
		served++
	}
}

// listen notes the first line of the answer.
func (p *process) listen(conn net.Conn) error {
	line := make([]byte, 12)
	_, err := io.ReadFull(conn, line)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.statuses["none"]++
		return err
	}
	p.statuses[string(line[9:])]++
	return nil
}

// say sends text, and notes the answer.
func (p *process) say(text string) func(net.Conn) error {
	return func(conn net.Conn) error {
		_, _ = io.WriteString(conn, text) // what is not read is not sent
		return p.listen(conn)
	}
}

// TestMemoryUnderAttack: whatever 4,096 clients do, the process stays within its container's memory, and others are served.
func TestMemoryUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	for _, name := range everyDay {
		if memoryAttacks[name] == nil {
			t.Errorf("there is no attack %q", name)
		}
	}
	executable := buildBottled(t)
	for name, attack := range memoryAttacks {
		if os.Getenv("BOTTLED_TEST_NIGHTLY") == "" && !slices.Contains(everyDay, name) {
			continue
		}
		t.Run(name, func(t *testing.T) { attack(newProcess(t, executable)) })
	}
}
