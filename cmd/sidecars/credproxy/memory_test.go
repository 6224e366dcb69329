package credproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bot-bottle/bottled/state/routesconf"
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
	plain := newPlainUpstream(t)
	pipelock := newPipelock(t)
	dirs := directories{t.TempDir(), t.TempDir()}
	writeFile(t, dirs.token+"/t", marker)
	writeFile(t, dirs.config+"/"+caFile, string(two.ca())+string(one.ca()))
	data, err := routesconf.File{Routes: []routesconf.Route{to("/two/", two.URL), to("/one/", one.URL), to("/plain/", plain)}}.Render()
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
	for range clients {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			p.Error(err)
			break
		}
		p.conns = append(p.conns, conn)
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

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (p *process) answers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.statuses
}

// behave makes one request after the other, each on a connection of its own.
func (p *process) behave(stop chan struct{}, worst *atomic.Int64) (served int) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
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

const requestLine = "GET /plain/wait HTTP/1.1\r\nHost: x\r\n"

// smallLines are fields of which each has another short name.
func smallLines(bytes int) string { return lines(bytes, "%x:b\r\n") }

func largeLines(bytes int) string { return lines(bytes, "Field-%d: "+strings.Repeat("v", 200)+"\r\n") }

func lines(bytes int, format string) string {
	var text strings.Builder
	for i := 0; text.Len() < bytes-256; i++ {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

// TestMemoryUnderAttack: whatever 4,096 clients do, the process stays within its container's memory, and others are served.
func TestMemoryUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	const all = 4096
	executable := buildBottled(t)
	for name, attack := range map[string]func(p *process){
		"36 KB of header in one line": func(p *process) {
			p.attack(all, 5*time.Second, p.say(requestLine+"X: "+strings.Repeat("x", 36<<10)))
		},
		"36 KB of header in small fields": func(p *process) {
			p.attack(all, 5*time.Second, p.say(requestLine+smallLines(36<<10)))
		},
		"31 KB of header that never ends": func(p *process) {
			p.attack(all, 8*time.Second, p.say(requestLine+largeLines(31<<10)))
		},
		"4 KB of header that never ends": func(p *process) {
			p.attack(all, 8*time.Second, p.say(requestLine+"X: "+strings.Repeat("x", 4000)))
		},
		"4 KB of header in drops": func(p *process) {
			text := requestLine + "X: " + strings.Repeat("x", 4000)
			p.attack(all, 8*time.Second, func(conn net.Conn) error {
				for text := text; len(text) > 0; {
					n := min(len(text), 100)
					if _, err := io.WriteString(conn, text[:n]); err != nil {
						return err
					}
					text = text[n:]
					time.Sleep(50 * time.Millisecond)
				}
				return p.listen(conn)
			})
		},
		"small fields in whole requests": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, p.say(requestLine+smallLines(3900)+"\r\n"))
		},
		"as many fields as are allowed": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, p.say(requestLine+strings.Join(strings.SplitAfter(smallLines(4000), "\n")[:maxFields-1], "")+"\r\n"))
		},
		"large headers in whole requests": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, p.say(requestLine+largeLines(31<<10)+"\r\n"))
		},
		"idle connections": func(p *process) { p.attack(all, 5*time.Second, func(net.Conn) error { return nil }) },
		"streams": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, p.say(requestLine+"\r\n"))
		},
		"streams from TLS, HTTP/1": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, p.say("GET /one/wait HTTP/1.1\r\nHost: x\r\n\r\n"))
		},
		"streams from HTTP/2": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, p.say("GET /two/wait HTTP/1.1\r\nHost: x\r\n\r\n"))
		},
		"pipelined requests, no answer read": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, func(conn net.Conn) error {
				_, err := io.WriteString(conn, strings.Repeat("GET /plain/hello HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2000)+"\r\n\r\n", 5000))
				return err
			})
		},
		"downloads that nobody reads": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, func(conn net.Conn) error {
				_, err := io.WriteString(conn, "GET /plain/flood HTTP/1.1\r\nHost: x\r\n\r\n")
				return err
			})
		},
		"downloads from HTTP/2 that nobody reads": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, func(conn net.Conn) error {
				_, err := io.WriteString(conn, "GET /two/flood HTTP/1.1\r\nHost: x\r\n\r\n")
				return err
			})
		},
		"uploads that nobody reads": func(p *process) {
			p.crowded = true
			p.attack(all, 8*time.Second, func(conn net.Conn) error {
				_, err := io.WriteString(conn, "POST /plain/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"+strings.Repeat("x", 10000000))
				return err
			})
		},
		"large headers of responses": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, p.say("GET /one/large HTTP/1.1\r\nHost: x\r\n\r\n"))
		},
		"large headers of responses over HTTP/2": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, p.say("GET /two/large HTTP/1.1\r\nHost: x\r\n\r\n"))
		},
		"uploads over HTTP/2 that nobody reads": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, func(conn net.Conn) error {
				_, err := io.WriteString(conn, "POST /two/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"+strings.Repeat("x", 10000000))
				return err
			})
		},
		"HTTP/2 with large headers":  func(p *process) { p.attack(all, 12*time.Second, streams(maxStreams, 14<<10, "/plain/wait", nil)) },
		"HTTP/2 with larger headers": func(p *process) { p.attack(all, 12*time.Second, streams(maxStreams, 60<<10, "/plain/wait", nil)) },
		"HTTP/2 with small fields":   func(p *process) { p.attack(all, 12*time.Second, smallFields()) },
		"HTTP/2 with many streams": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, streams(250, 100, "/plain/wait", nil))
		},
		"HTTP/2 downloads nobody reads": func(p *process) {
			p.crowded = true
			p.attack(all, 12*time.Second, streams(maxStreams, 0, "/two/flood", nil))
		},
		"HTTP/2 header bombs":            func(p *process) { p.attack(all, 12*time.Second, bombs()) },
		"HTTP/2 CONTINUATION floods":     func(p *process) { p.attack(all, 12*time.Second, continuations) },
		"HTTP/2 frames of a MB, stalled": func(p *process) { p.attack(all, 12*time.Second, largeFrame()) },
		"HTTP/2 rapid resets":            func(p *process) { p.attack(256, 12*time.Second, reading(streams(1000, 14<<10, "/two/wait", reset))) },
		"HTTP/2 idle connections":        func(p *process) { p.attack(all, 8*time.Second, streams(0, 0, "", nil)) },
	} {
		t.Run(name, func(t *testing.T) { attack(newProcess(t, executable)) })
	}
}

// conversation2 returns what an HTTP/2 client sends: the preface, and what write writes.
func conversation2(write func(*http2.Framer)) []byte {
	var sent bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&sent, nil)
	_ = framer.WriteSettings() // to memory, here and below
	write(framer)
	return sent.Bytes()
}

// headerBlock appends a request for a path, with that many bytes of further fields.
func headerBlock(encoder *hpack.Encoder, path string, extra int) {
	fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: path}}
	for i := 0; extra > 0; i++ {
		fields = append(fields, hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: strings.Repeat("v", min(extra, 200))})
		extra -= 240
	}
	for _, field := range fields {
		field.Sensitive = true // not in the table
		_ = encoder.WriteField(field)
	}
}

// writeHeaders sends a block in as many frames as it takes.
func writeHeaders(framer *http2.Framer, id uint32, block []byte) {
	const most = 16 << 10
	first := block[:min(len(block), most)]
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: true, EndHeaders: len(block) <= most})
	for block = block[len(first):]; len(block) > 0; {
		piece := block[:min(len(block), most)]
		block = block[len(piece):]
		_ = framer.WriteContinuation(id, len(block) == 0, piece)
	}
}

// sends sends the same to every connection, and reads nothing.
func sends(text []byte) func(net.Conn) error {
	return func(conn net.Conn) error {
		_, err := conn.Write(text)
		return err
	}
}

// streams opens that many requests on a connection, with a header of that size.
func streams(count, header int, path string, then func(*http2.Framer, uint32)) func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		for i := range count {
			var block bytes.Buffer
			headerBlock(hpack.NewEncoder(&block), path, header)
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
			if then != nil {
				then(framer, uint32(2*i+1))
			}
		}
	}))
}

// bombs are blocks of a few KB that repeat a field of 4 KB from the table.
func bombs() func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := range 60 {
			block.Reset()
			headerBlock(encoder, "/plain/wait", 0)
			for range 8000 {
				_ = encoder.WriteField(hpack.HeaderField{Name: "bomb", Value: strings.Repeat("v", 3900)})
			}
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
		}
	}))
}

// small has as many small fields as a header may have, by net/http's count.
func smallFields() func(net.Conn) error {
	return sends(conversation2(func(framer *http2.Framer) {
		for i := range maxStreams {
			var block bytes.Buffer
			encoder := hpack.NewEncoder(&block)
			headerBlock(encoder, "/plain/wait", 0)
			for n := range maxHTTP2Header / 36 {
				_ = encoder.WriteField(hpack.HeaderField{Name: fmt.Sprintf("%03x", n), Value: "v", Sensitive: true})
			}
			writeHeaders(framer, uint32(2*i+1), block.Bytes())
		}
	}))
}

// continuations never end a block: many at once, and then one at a time.
func continuations(conn net.Conn) error {
	one := func(framer *http2.Framer, n int) {
		var block bytes.Buffer
		_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", n), Value: "v", Sensitive: true})
		_ = framer.WriteContinuation(1, false, block.Bytes())
	}
	_, err := conn.Write(conversation2(func(framer *http2.Framer) {
		var block bytes.Buffer
		headerBlock(hpack.NewEncoder(&block), "/plain/wait", 0)
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()})
		for n := range 350 {
			one(framer, n)
		}
	}))
	for n := 0; err == nil; n++ {
		var frame bytes.Buffer
		one(http2.NewFramer(&frame, nil), n)
		_, err = conn.Write(frame.Bytes())
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// largeFrame announces a frame of nearly 1 MB and sends all but its end.
func largeFrame() func(net.Conn) error {
	const size = 1<<20 - 1
	frame := append([]byte{size >> 16, size >> 8 & 0xff, size & 0xff, 0, 0, 0, 0, 0, 1}, make([]byte, size-1)...)
	return sends(append(conversation2(func(*http2.Framer) {}), frame...))
}

func reset(framer *http2.Framer, id uint32) { _ = framer.WriteRSTStream(id, http2.ErrCodeCancel) }

// reading lets a client read while it sends.
func reading(attacker func(net.Conn) error) func(net.Conn) error {
	return func(conn net.Conn) error {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		return attacker(conn)
	}
}
