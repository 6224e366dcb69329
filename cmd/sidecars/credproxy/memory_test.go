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

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
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
	served   atomic.Int64   // requests of a well-behaved client
	slowest  atomic.Int64   // of them, in nanoseconds
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
	sidecartest.WriteFile(t, dirs.token+"/t", marker)
	sidecartest.WriteFile(t, dirs.config+"/"+caFile, string(two.ca())+string(one.ca()))
	data, err := model.Render([]model.Route{to("/two/", two.URL), to("/one/", one.URL), to("/plain/", plain)})
	if err != nil {
		t.Fatal(err)
	}
	sidecartest.WriteFile(t, dirs.config+"/"+routesFile, string(data))
	p := &process{T: t, address: sidecartest.FreeAddress(t), statuses: map[string]int{}}
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
	sidecartest.Until(t, "cred-proxy to serve", nil, func() bool {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
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

// attack runs clients at the same time, each with a connection that stays open, while a well-behaved client comes again and
// again. It lasts until memory does not grow any more, and nightly as long as hold says.
func (p *process) attack(clients int, hold time.Duration, attacker func(net.Conn) error) {
	p.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); p.behave(stop) }()
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
	if sidecartest.Nightly() {
		<-time.After(hold)
	} else {
		sidecartest.SettledMemory(p, p.cmd.Process.Pid, hold)
	}
	sidecartest.Until(p, "a well-behaved client to be served", nil, func() bool { return p.served.Load() > 0 || p.Failed() })
	close(stop)
	<-ended
	peak := sidecartest.PeakMemory(p, p.cmd.Process.Pid)
	p.Logf("%d clients: peak %d MiB; %d requests of others served, the slowest in %s; answers %v",
		clients, peak/sidecartest.MiB, p.served.Load(), time.Duration(p.slowest.Load()), p.answers())
	if peak > containerMemory {
		p.Errorf("the container has %d MiB", containerMemory/sidecartest.MiB)
	}
	for _, conn := range p.conns {
		conn.Close()
	}
	group.Wait()
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

func (p *process) answers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.statuses)
}

// behave makes one request after the other, each on a connection of its own.
func (p *process) behave(stop chan struct{}) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * patience}
	for {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		begin := time.Now()
		resp, err := client.Get("http://" + p.address + "/plain/hello")
		if err != nil {
			p.Errorf("a well-behaved client: %v", err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		full := p.crowded && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "requests are open")
		if !full && (resp.StatusCode != http.StatusOK || string(body) != "hello") {
			p.Errorf("a well-behaved client: %s %q %v", resp.Status, body, err)
			return
		}
		p.slowest.Store(max(p.slowest.Load(), int64(time.Since(begin))))
		p.served.Add(1)
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
	executable := sidecartest.BuildBottled(t)
	for name, attack := range memoryAttacks {
		if !sidecartest.Nightly() && !slices.Contains(everyDay, name) {
			continue
		}
		t.Run(name, func(t *testing.T) { attack(newProcess(t, executable)) })
	}
}
