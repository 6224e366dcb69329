package credproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

func TestStreams(t *testing.T) {
	next := make(chan string)
	ended := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				ended <- struct{}{}
				return
			}
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/a/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // the header alone, before any event
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, event := range []string{"one", "two", "three"} {
		select {
		case next <- event:
		case <-time.After(patience):
			t.Fatal("the upstream does not take the event")
		}
		got, err := lines.ReadString('\n')
		if err != nil || got != "data: "+event+"\n" {
			t.Fatalf("read %q, %v; want %q while the stream is open", got, err, event)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the upstream's request goes on after the client left")
	}
	line := b.requestLines(1)[0]
	if line["status"] != float64(200) || line["bytes"] != float64(len("data: one\n\ndata: two\n\ndata: three\n\n")) {
		t.Errorf("audit line %v", line)
	}
}

// TestDownloadsStream: what looks like a file, with a known length, is not held back either.
func TestDownloadsStream(t *testing.T) {
	proceed := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-proceed
		_, _ = io.WriteString(w, "after")
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	watchdog := time.AfterFunc(patience, func() { close(proceed) })
	resp, err := http.Get(b.server.URL + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("read %q, %v", first, err)
	}
	if !watchdog.Stop() {
		t.Fatal("the first half came only with the second")
	}
	close(proceed)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "after" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestUploadsStream(t *testing.T) {
	got := make(chan string)
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			got <- lines.Text()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/a/", body)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	for _, line := range []string{"one", "two"} {
		if _, err := io.WriteString(feed, line+"\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case l := <-got:
			if l != line {
				t.Errorf("the upstream got %q; want %q", l, line)
			}
		case <-time.After(patience):
			t.Fatal("the upload waits for its end")
		}
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestIdleExchangeEnds(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ended := make(chan struct{}, 2)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-r.Context().Done():
			ended <- struct{}{}
		case <-release:
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 200 * time.Millisecond
	if resp := b.get("/a/header"); resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(resp.body, "nothing was sent or received for 200ms") {
		t.Errorf("no header: %s %q; want 504", resp.Status, resp.body)
	}
	resp, err := http.Get(b.server.URL + "/a/body")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("no end of the body: read %q without an error; want a cut connection", body)
	}
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the upstream's request goes on")
		}
	}
	if lines := b.requestLines(2); lines[0]["aborted"] != nil || lines[1]["aborted"] != true {
		t.Errorf("audit lines %v; want the second one aborted", lines)
	}
}

func TestSlowButBusyExchangeLives(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for range 10 {
			<-pace.C
			_, _ = io.WriteString(w, ".")
			_ = http.NewResponseController(w).Flush()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 300 * time.Millisecond // less than the whole takes
	if resp := b.get("/a/"); resp.body != ".........." {
		t.Errorf("%s %q; want ten dots", resp.Status, resp.body)
	}
}

func TestStalledClientIsCut(t *testing.T) {
	ended := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				break
			}
		}
		ended <- struct{}{}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.handler.idle = 200 * time.Millisecond
	conn := sidecartest.Dial(t, b.server.Listener.Addr().String())
	fmt.Fprintf(conn, "GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n") // and never read
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a client that does not read holds the upstream for ever")
	}
	b.requestLines(1)
}
