package credproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clients are the two protocols that the agent may speak.
func clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	one := &http.Transport{}
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { one.CloseIdleConnections(); two.CloseIdleConnections() })
	return map[string]*http.Client{"HTTP/1.1": {Transport: one}, "HTTP/2.0": {Transport: two}}
}

// TestBothWays holds a conversation on one request: each side speaks before the other has finished.
func TestBothWays(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_ = rc.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); _ = rc.Flush() {
			fmt.Fprintf(w, "you said %s\n", lines.Text())
		}
	})
	// Over HTTP/1.1, too, to the upstream.
	old := newUpstreamHTTP1(t, u.Config.Handler)
	b := newBench(t, append(u.ca(), old.ca()...), to("/two/", u.URL), to("/one/", old.URL))
	for protocol, client := range clients(t) {
		for _, path := range []string{"/two/", "/one/"} {
			t.Run(protocol+path, func(t *testing.T) {
				body, feed := io.Pipe()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.server.URL+path, body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req) // the response begins before anything was sent
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.Proto != protocol {
					t.Errorf("the client was answered over %s", resp.Proto)
				}
				answers := bufio.NewReader(resp.Body)
				for _, word := range []string{"one", "two", "three"} {
					fmt.Fprintln(feed, word)
					if got, err := answers.ReadString('\n'); err != nil || got != "you said "+word+"\n" {
						t.Fatalf("%q, %v; want the answer to %s at once", got, err, word)
					}
				}
				feed.Close()
				if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
					t.Errorf("the end is %q, %v", rest, err)
				}
			})
		}
	}
}

func newUpstreamHTTP1(t *testing.T, serve http.Handler) *upstream {
	t.Helper()
	u := &upstream{Server: newTLSServer(serve)}
	t.Cleanup(u.Close)
	return u
}

// TestClientThatLeavesEndsTheUpstream, in the middle of a response, before it, and in the middle of its own body.
func TestClientThatLeavesEndsTheUpstream(t *testing.T) {
	ended := make(chan struct{}, 1)
	begun := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/response" {
			_ = http.NewResponseController(w).Flush()
		}
		begun <- struct{}{}
		if r.URL.Path == "/upload" {
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			<-r.Context().Done()
		}
		ended <- struct{}{}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	sent := 0
	for protocol, client := range clients(t) {
		for _, path := range []string{"response", "header", "upload"} {
			t.Run(protocol+" "+path, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var body io.Reader
				if path == "upload" {
					from, feed := io.Pipe()
					go func() { _, _ = io.WriteString(feed, "some") }()
					body = from
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.server.URL+"/a/"+path, body)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if resp, err := client.Do(req); err == nil {
						resp.Body.Close()
					}
				}()
				for _, event := range []chan struct{}{begun, ended} {
					select {
					case <-event:
					case <-time.After(patience):
						t.Fatalf("the upstream's request goes on; log:\n%s", b.log)
					}
					cancel()
				}
				sent++
				if line := b.requestLines(sent)[sent-1]; line["status"] != float64(statusClientGone) && line["aborted"] != true {
					t.Errorf("audit line %v; want that the client left", line)
				}
			})
		}
	}
}

func TestTrailers(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		h.Set("Trailer", "Grpc-Status, X-Echo, Set-Cookie")
		if r.URL.Path != "/empty" {
			_, _ = io.WriteString(w, "body")
		}
		h.Set("Grpc-Status", "0")
		h.Set("X-Echo", r.Header.Get("Authorization"))
		h.Set("Set-Cookie", "a=1")
		h.Set(http.TrailerPrefix+"X-Late", "yes")
		h.Set(http.TrailerPrefix+"X-Te", r.Header.Get("Te"))
		h.Set(http.TrailerPrefix+"X-Sent", fmt.Sprint(len(r.Trailer)))
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	for protocol, client := range clients(t) {
		for _, path := range []string{"", "empty"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/a/"+path, io.MultiReader(strings.NewReader("x")))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Te", "trailers") // HTTP/2 allows nothing else
			req.Trailer = http.Header{"X-Api-Key": {"the-clients-own"}, "X-Sum": {"1"}}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got := b.whole(resp).Trailer
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s /%s: %s", protocol, path, resp.Status)
			}
			want := map[string]string{"Grpc-Status": "0", "X-Late": "yes", "X-Te": "trailers", "X-Sent": "0", "X-Echo": "", "Set-Cookie": ""}
			for name, value := range want {
				if got.Get(name) != value {
					t.Errorf("%s /%s: trailer %s is %q; want %q", protocol, path, name, got.Get(name), value)
				}
			}
		}
	}
}

// TestLargeBodiesAreExact sends some megabytes through both ways, in all combinations of protocols, from many
// clients at once.
func TestLargeBodiesAreExact(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, _ := io.Copy(sum, r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sum.Sum(nil)))
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
		for range n / int64(len(chunk)) {
			_, _ = w.Write(chunk)
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	const size = 3 << 20
	data := bytes.Repeat([]byte("fedcba9876543210"), size/16)
	want := fmt.Sprintf("%x", sha256.Sum256(data))
	errs := make(chan error)
	count := 0
	for protocol, client := range clients(t) {
		for i := range 4 {
			count++
			go func() {
				body := io.Reader(bytes.NewReader(data))
				if i%2 == 0 {
					body = io.MultiReader(body) // chunked
				}
				resp, err := client.Post(b.server.URL+"/a/", "application/octet-stream", body)
				if err == nil {
					var got []byte
					got, err = io.ReadAll(resp.Body)
					resp.Body.Close()
					if err == nil && (len(got) != size || resp.Header.Get("X-Sum") != want || string(got[size-16:]) != "0123456789abcdef") {
						err = fmt.Errorf("%d bytes came back, sum %s", len(got), resp.Header.Get("X-Sum"))
					}
				}
				if err != nil {
					err = fmt.Errorf("%s: %w", protocol, err)
				}
				errs <- err
			}()
		}
	}
	for range count {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestHTTP2IsJudgedAlike: the rules do not depend on the protocol.
func TestHTTP2IsJudgedAlike(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	client := clients(t)["HTTP/2.0"]
	for target, want := range map[string]int{
		"/a/x": 200, "/b/": 404, "/a/%2e%2e/b": 400, "/a/r.git/git-receive-pack": 403, "/a/b//c": 400, "/a/?key=1": 400, "/a/?service=git-receive-pack": 403, "/healthz": 200,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "a=1")
		req.Header.Set("X-Api-Key", "own")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.whole(resp); got.StatusCode != want || got.ProtoMajor != 2 {
			t.Errorf("%s: %s over %s; want %d", target, got.Status, got.Proto, want)
		}
	}
	seen := u.requests()
	if len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer "+marker || seen[0].Header.Get("Cookie") != "" || seen[0].Header.Get("X-Api-Key") != "" {
		t.Errorf("the upstream saw %d requests, the first with %v", len(seen), seen[0].Header)
	}
}

// TestAuditTellsBeginAndEnd of the same request by one number, the beginning before the upstream is asked.
func TestAuditTellsBeginAndEnd(t *testing.T) {
	var atUpstream string
	var b *bench
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		atUpstream = b.log.String()
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
	})
	b = newBench(t, u.ca(), to("/a/", u.URL))
	resp, err := http.Post(b.server.URL+"/a/x?q=1", "text/plain", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	b.whole(resp)
	end := b.requestLines(1)[0]
	if !strings.Contains(atUpstream, `"phase":"begin","id":1,"route":"/a/","method":"POST","path":"/a/x"`) || strings.Contains(atUpstream, `"phase":"end"`) {
		t.Errorf("when the upstream was asked the log was:\n%s", atUpstream)
	}
	if end["id"] != float64(1) || end["bytes"] != float64(5) || end["request_bytes"] != float64(3) || end["status"] != float64(200) {
		t.Errorf("the end is %v", end)
	}
}
