package http1

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What BenchmarkBesideNetHTTP does: clients at once, requests of each, streams that wait.
const (
	benchClients  = 32
	benchRequests = 2000
	benchStreams  = 1000
)

// benchProxy names, in the environment of a child process, the proxy that it is: see TestMain.
const (
	benchProxy    = "HTTP1_BENCH_PROXY"
	benchUpstream = "HTTP1_BENCH_UPSTREAM"
)

// proxies are what is compared: minimal reverse proxies, which set a header and nothing else.
var proxies = map[string]func(upstream string, listener net.Listener) error{
	"http1": func(upstream string, listener net.Listener) error {
		pool := NewPool(PoolOptions{
			MaxIdle: benchClients, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, Budget: NewBudget(48 << 20),
			Shared: &IdleLimit{Max: benchClients},
		})
		s := &Server{MaxConnections: 2 * benchStreams, Handler: func(w http.ResponseWriter, r *http.Request, _ *Conn) {
			forward(pool, upstream, w, r)
		}}
		prepare(s)
		return s.Serve(listener)
	},
	"net/http": func(upstream string, listener net.Listener) error {
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: upstream})
				r.Out.Header.Set("Authorization", "Bearer x")
			},
			Transport:     &http.Transport{MaxIdleConnsPerHost: benchClients, ReadBufferSize: upstreamBuffer, WriteBufferSize: upstreamBuffer, DisableCompression: true},
			FlushInterval: -1,
			ErrorLog:      log.New(io.Discard, "", 0),
		}
		return (&http.Server{Handler: proxy, ReadHeaderTimeout: patience, IdleTimeout: patience}).Serve(listener)
	},
}

// forward is what a handler does with a request.
func forward(pool *Pool, upstream string, w http.ResponseWriter, r *http.Request) {
	conn := pool.Get()
	if conn == nil {
		dialed, err := net.Dial("tcp", upstream)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		conn = pool.NewConn(dialed, dialed)
	}
	r.Header.Set("Authorization", "Bearer x")
	resp, err := conn.RoundTrip(&Exchange{}, &http.Request{Method: r.Method, URL: r.URL, Host: upstream, Header: r.Header})
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	flusher := http.NewResponseController(w)
	buffer := pool.options.Budget.Buffer()
	defer buffer.Put()
	for sent := int64(0); ; {
		n, err := resp.Body.Read(buffer.Bytes)
		if _, failed := w.Write(buffer.Bytes[:n]); failed != nil || err != nil {
			return // an end that came too early shows by the length
		}
		if sent += int64(n); sent != resp.ContentLength && flusher.Flush() != nil {
			return
		}
	}
}

// TestMain makes the test binary a proxy, if it is told so.
func TestMain(m *testing.M) {
	name := os.Getenv(benchProxy)
	if name == "" {
		os.Exit(m.Run())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(listener.Addr())
		err = proxies[name](os.Getenv(benchUpstream), listener)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// BenchmarkBesideNetHTTP measures a minimal reverse proxy made of this package beside one made of http.Server and
// httputil.ReverseProxy: the CPU time of a small request, and the memory of a stream that waits. Run it with -benchtime 1x.
func BenchmarkBesideNetHTTP(b *testing.B) {
	if b.N > 1 {
		b.Fatal("one measurement is enough: use -benchtime 1x")
	}
	for name := range proxies {
		b.Run(name, func(b *testing.B) {
			c := startChild(b, name)
			c.requests(b, 100) // what is done once
			before := c.cpu(b)
			c.requests(b, benchRequests)
			b.ReportMetric(float64((c.cpu(b)-before).Microseconds())/(benchClients*benchRequests), "cpu-µs/req")
			idle := c.anonymous(b)
			c.streams(b)
			b.ReportMetric((c.anonymous(b)-idle)/benchStreams, "KB/stream")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// child is a proxy in a process of its own.
type child struct {
	pid     int
	address string
}

func startChild(b *testing.B, name string) *child {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	upstream := &http.Server{Handler: http.HandlerFunc(serveBench), ReadHeaderTimeout: patience}
	var group sync.WaitGroup
	group.Go(func() { _ = upstream.Serve(listener) }) // until it is closed
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchProxy+"="+name, benchUpstream+"="+listener.Addr().String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait() // killed
		_ = upstream.Close()
		group.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return &child{cmd.Process.Pid, strings.TrimSpace(line)}
}

// serveBench answers /stream with an event, and then nothing.
func serveBench(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stream" {
		_, _ = io.WriteString(w, "hello, this is a small answer\n")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: event\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// requests makes requests of all clients at once.
func (c *child) requests(b *testing.B, each int) {
	b.Helper()
	var group sync.WaitGroup
	for range benchClients {
		group.Go(func() {
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for range each {
				if _, err := io.WriteString(conn, get); err != nil {
					b.Error(err)
					return
				}
				resp, err := http.ReadResponse(reader, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(body), "hello") {
					b.Errorf("%s %q %v", resp.Status, body, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// streams opens streams, until the benchmark's end, and waits for the first event of each.
func (c *child) streams(b *testing.B) {
	b.Helper()
	for range benchStreams {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(conn)
		for lines.Scan() && lines.Text() != "data: event" {
		}
		if lines.Text() != "data: event" {
			b.Fatalf("no event: %v", lines.Err())
		}
	}
}

// cpu returns the CPU time that the process has had.
func (c *child) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name
	var ticks, user, system int
	fields := strings.Fields(rest)
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	ticks = user + system
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// anonymous returns the process's memory, without the pages of the executable, in KB.
func (c *child) anonymous(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib * 1.024
}
