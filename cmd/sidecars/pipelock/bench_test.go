package pipelock

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

// benchProxy is a `pipelock run` of its own process, and an upstream behind it that swallows what it gets.
type benchProxy struct {
	*running
	base string
}

var benchConfigs = map[string]string{
	"dlp=off":   "",
	"dlp=block": "request_body_scanning: {enabled: true, action: " + pipelockconf.ActionBlock + ", max_body_bytes: 4294967296}\n",
}

func startBench(b *testing.B, more string) *benchProxy {
	b.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if size, err := strconv.Atoi(r.URL.Query().Get("size")); err == nil {
			io.CopyN(w, zeroes{}, int64(size))
			return
		}
		fmt.Fprint(w, n)
	}))
	b.Cleanup(upstream.Close)
	r := startProgram(b, []byte(settings([]string{"127.0.0.1"}, more)))
	sidecartest.Until(b, "pipelock to serve", nil, func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	go func() {
		for range r.lines { // a full pipe would stop the proxy
		}
	}()
	return &benchProxy{r, upstream.URL}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

func (p *benchProxy) client() *http.Client {
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr}), MaxIdleConnsPerHost: 100}}
}

// report adds the proxy's memory and CPU time, in MB and ms an operation.
func (p *benchProxy) report(b *testing.B, before time.Duration) {
	b.Helper()
	b.ReportMetric(p.residentMB(b), "RSS-MB")
	b.ReportMetric(float64((p.cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func (p *benchProxy) residentMB(b *testing.B) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / 1e6
}

func (p *benchProxy) cpu(b *testing.B) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // the kernel's USER_HZ is 100
}

func BenchmarkProxy(b *testing.B) {
	conversation := []byte(strings.Repeat(`{"role":"user","content":"The quick brown fox keeps the api-key of task 7 in \"config.json\".\nThey say it is fine."},`, 500))
	for name, config := range benchConfigs {
		p := startBench(b, config)
		client := p.client()
		post := func(b *testing.B, body io.Reader, size int64) {
			req, err := http.NewRequest(http.MethodPost, p.base+"/v1/messages", body)
			if err != nil {
				b.Fatal(err)
			}
			req.ContentLength = size
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(got) != fmt.Sprint(size) {
				b.Fatalf("%s %q", resp.Status, got)
			}
		}
		b.Run("idle/"+name, func(b *testing.B) {
			for b.Loop() {
			}
			p.report(b, p.cpu(b))
		})
		for what, body := range map[string][]byte{"1KB": conversation[:1<<10], "56KB": conversation} {
			b.Run("requests-"+what+"/"+name, func(b *testing.B) {
				before := p.cpu(b)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						post(b, bytes.NewReader(body), int64(len(body)))
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
				p.report(b, before)
			})
		}
		b.Run("upload/"+name, func(b *testing.B) {
			p.transfer(b, func() { post(b, io.LimitReader(&repeated{text: conversation}, transferBytes), transferBytes) })
		})
		b.Run("download/"+name, func(b *testing.B) { p.transfer(b, func() { p.download(b, client) }) })
		b.Run("1000-open-uploads/"+name, func(b *testing.B) {
			for b.Loop() {
				p.openUploads(b, conversation)
			}
			p.report(b, p.cpu(b))
		})
	}
}

const transferBytes = 256 << 20

// transfer measures something that moves transferBytes.
func (p *benchProxy) transfer(b *testing.B, move func()) {
	b.Helper()
	before := p.cpu(b)
	b.SetBytes(transferBytes)
	for b.Loop() {
		move()
	}
	p.report(b, before)
}

func (p *benchProxy) download(b *testing.B, client *http.Client) {
	b.Helper()
	resp, err := client.Get(p.base + "/?size=" + fmt.Sprint(transferBytes))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != transferBytes {
		b.Fatal(n, err)
	}
}

// openUploads holds a thousand uploads that have sent 56 KB each and go on; the memory is measured meanwhile.
func (p *benchProxy) openUploads(b *testing.B, sent []byte) {
	b.Helper()
	var conns []net.Conn
	var wg sync.WaitGroup
	for range 1000 {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
		wg.Go(func() {
			fmt.Fprintf(conn, "POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", p.base, len(sent)+1, sent)
		})
	}
	wg.Wait()
	sidecartest.SettledMemory(b, p.cmd.Process.Pid, 5*time.Second)
	b.ReportMetric(p.residentMB(b), "RSS-open-MB")
	for _, conn := range conns {
		conn.Close()
	}
}

// repeated is a text without an end.
type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// BenchmarkTunnel opens a tunnel and has the ClientHello answered.
func BenchmarkTunnel(b *testing.B) {
	hello := helloTo(b, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(hello))); err == nil {
					_, _ = conn.Write([]byte{22})
				}
			}()
		}
	}()
	r := startProgram(b, []byte(settings([]string{l.Addr().String()}, "")))
	sidecartest.Until(b, "pipelock to serve", nil, func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	go func() {
		for range r.lines { // a full pipe would stop the proxy
		}
	}()
	p := &benchProxy{r, ""}
	before := p.cpu(b)
	for b.Loop() {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n%s", l.Addr(), hello)
		if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 200 Connection Established\r\n\r\n")+1)); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	p.report(b, before)
}
