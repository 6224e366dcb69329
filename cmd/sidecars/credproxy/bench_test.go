package credproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

const (
	benchClients = 32
	benchStreams = 1000
	benchRounds  = 5
	benchRound   = 2 * time.Second
	benchPings   = 3000
	gibibyte     = 1 << 30
)

// BenchmarkBesideNginx measures cred-proxy beside nginx as a plain reverse proxy that sets the same header and logs
// each request to a file, in turn, with the same upstreams and on the same core. It is run by `task bench:credproxy`
// and takes about two minutes; nginx is Debian's package.
//
// Both reach the upstream over plain http and without pipelock: HTTPS_PROXY names the upstream itself, which makes the
// request line longer and nothing else. In a bottle TLS and pipelock come on top, for any proxy in this place.
// Where there is more than one core, the proxies have the first and the clients and upstreams the others.
// On a machine that does other things as well the CPU time for a request says more than the requests in a second.
func BenchmarkBesideNginx(b *testing.B) {
	if b.N > 1 {
		b.Fatal("one measurement is enough: use -benchtime 1x")
	}
	r := newRace(b)
	r.requests()
	r.latency()
	r.gibibyte()
	r.streams()
	b.ReportMetric(0, "ns/op")
}

// race is what is compared: two proxies, and the upstream without one.
type race struct {
	*testing.B
	dir     string
	direct  runner
	proxies []runner // nginx, cred-proxy
	// streamer is the cred-proxy for event streams: HTTPS_PROXY is one upstream for all routes.
	streamer runner
}

// runner is one way to the upstream.
type runner struct {
	name    string
	address string
	prefix  string // of the path
	pids    []int  // whose CPU time and memory count
}

func newRace(b *testing.B) *race {
	r := &race{B: b, dir: b.TempDir()}
	if _, err := exec.LookPath("nginx"); err != nil {
		b.Fatal("nginx is missing: apt-get install nginx")
	}
	if cores := runtime.NumCPU(); cores > 1 {
		r.run("taskset", "-apc", fmt.Sprintf("1-%d", cores-1), strconv.Itoa(os.Getpid()))
	}
	upstream, streams := sidecartest.FreeAddress(b), r.streamingUpstream()
	if err := os.Truncate(r.write("html/gib", ""), gibibyte); err != nil { // sparse
		b.Fatal(err)
	}
	r.nginx("upstream", false, `access_log off; sendfile on; server { listen `+upstream+`; root `+r.dir+`/html;
		location / { return 200 "hello, this is a small answer\n"; } location = /gib { } }`)
	r.direct = runner{name: "direct", address: upstream, prefix: "/"}

	proxy := sidecartest.FreeAddress(b)
	settings := `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "Bearer ` + marker + `";`
	pids := r.nginx("proxy", true, `access_log `+r.dir+`/access.log; upstream u { server `+upstream+`; keepalive 128; keepalive_requests 1000000; }
		server { listen `+proxy+`; location /a/ { proxy_pass http://u/; `+settings+` } location /s/ { proxy_pass http://`+streams+`/; proxy_buffering off; `+settings+` } }`)
	r.proxies = []runner{{"nginx", proxy, "/a/", pids}, r.credProxy(upstream, streams)}
	return r
}

// streamingUpstream sends one event and then nothing.
func (r *race) streamingUpstream() (address string) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: event\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-q.Context().Done():
		case <-stop:
		}
	}))
	r.Cleanup(func() { close(stop); server.CloseClientConnections(); server.Close() })
	return server.Listener.Addr().String()
}

func (r *race) run(name string, args ...string) {
	r.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		r.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (r *race) write(name, content string) (path string) {
	r.Helper()
	path = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

// nginx starts one with a configuration and a directory of its own and returns its processes.
func (r *race) nginx(name string, firstCore bool, config string) []int {
	r.Helper()
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path " + r.dir + "/" + name + "/" + kind + ";\n"
	}
	path := r.write(name+"/nginx.conf", `daemon off; user root; worker_processes 1; worker_rlimit_nofile 16384; pid `+r.dir+`/`+name+`/pid; error_log stderr;
events { worker_connections 8192; }
http { keepalive_requests 1000000; `+temp+config+" }\n")
	master := r.start(firstCore, nil, "nginx", "-p", filepath.Dir(path), "-c", path)
	var pids []int
	sidecartest.Until(r, "a worker of nginx, "+name, nil, func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", master))
		if err != nil {
			r.Fatal(err)
		}
		pids = []int{master}
		for child := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				r.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return len(pids) > 1
	})
	return pids
}

// credProxy starts the executable that the sidecar's image has.
func (r *race) credProxy(upstream, streams string) runner {
	r.Helper()
	binary := sidecartest.BuildBottled(r)
	slot := filepath.Dir(r.write("tokens/t", marker))
	start := func(name, upstream string) runner {
		route := fmt.Sprintf(`{"routes":[{"path":"/a/","upstream":"http://%s","token_slot":"t","insecure_upstream":true}]}`, upstream)
		conf, address := filepath.Dir(r.write(name+"/routes.json", route)), sidecartest.FreeAddress(r.B)
		pid := r.start(true, []string{"HTTPS_PROXY=http://" + upstream}, binary, "sidecar", "cred-proxy", "run",
			"--listen", address, "--config-dir", conf, "--token-dir", slot)
		return runner{"cred-proxy", address, "/a/", []int{pid}}
	}
	r.streamer = start("streams", streams)
	return start("requests", upstream)
}

// start runs a program until the benchmark's end, its stderr in a file.
func (r *race) start(firstCore bool, env []string, name string, args ...string) (pid int) {
	r.Helper()
	if firstCore && runtime.NumCPU() > 1 {
		name, args = "taskset", append([]string{"-c", "0", name}, args...) // which becomes the program
	}
	log, err := os.CreateTemp(r.dir, "log")
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), log
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
	})
	return cmd.Process.Pid
}

// cpu is the time that a runner's processes have had so far.
func (r *race) cpu(of runner) time.Duration {
	r.Helper()
	var ticks int
	for _, pid := range of.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			r.Fatal(err)
		}
		_, rest, _ := bytes.Cut(stat, []byte(") ")) // behind the name
		fields := strings.Fields(string(rest))
		for _, field := range fields[11:13] { // utime, stime
			n, err := strconv.Atoi(field)
			if err != nil {
				r.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// memory is the sum of a runner's VmRSS in KiB, and of RssAnon, which leaves out the pages of the executable.
func (r *race) memory(of runner) (rss, anonymous int) {
	r.Helper()
	for _, pid := range of.pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			r.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			var kib int
			if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
				rss += kib
			}
			if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
				anonymous += kib
			}
		}
	}
	return rss, anonymous
}

// pinger is a connection that knows how long its answers are.
type pinger struct {
	net.Conn
	request []byte
	answer  []byte
}

func (r *race) dial(to runner, path string) *pinger {
	r.Helper()
	var conn net.Conn
	sidecartest.Until(r, to.name+" to serve", nil, func() bool {
		var err error
		conn, err = net.Dial("tcp", to.address)
		return err == nil
	})
	r.Cleanup(func() { conn.Close() })
	return &pinger{Conn: conn, request: []byte("GET " + to.prefix + path + " HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n")}
}

// learn makes the first request and remembers the length of what is answered.
func (c *pinger) learn() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	counter := &counted{Reader: c.Conn}
	resp, err := http.ReadResponse(bufio.NewReader(counter), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != "hello, this is a small answer\n" {
		return fmt.Errorf("%s %q, %w", resp.Status, body, err)
	}
	c.answer = make([]byte, counter.n)
	return nil
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func (c *pinger) ask() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.Conn, c.answer); err != nil {
		return err
	}
	if !bytes.HasPrefix(c.answer, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.HasSuffix(c.answer, []byte("small answer\n")) {
		return fmt.Errorf("another answer: %q", c.answer)
	}
	return nil
}
