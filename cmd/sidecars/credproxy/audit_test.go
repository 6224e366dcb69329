package credproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestConcurrency(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.URL.Path, body, strings.TrimSuffix(r.Header.Get("Authorization"), marker))
	})
	route := to("/b/", u.URL)
	route.AuthScheme = "token"
	b := newBench(t, u.ca(), to("/a/", u.URL), route)
	stop := make(chan struct{})
	var reloads sync.WaitGroup
	reloads.Go(func() { // all along
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := b.loader.load(); err != nil {
					t.Errorf("load: %v", err)
				}
			}
		}
	})
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 10 {
				path, want := "/a/", "Bearer "
				if (i+j)%2 == 0 {
					path, want = "/b/", "token "
				}
				text := fmt.Sprintf("%d-%d", i, j)
				resp, err := http.Post(b.server.URL+path+text, "text/plain", strings.NewReader(text))
				if err != nil {
					t.Errorf("%s: %v", text, err)
					return
				}
				if got, want := b.whole(resp).body, fmt.Sprintf("/%s %s %s", text, text, want); got != want {
					t.Errorf("%q; want %q", got, want)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	reloads.Wait()
}

func TestAuditLine(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	b.get("/a/x%20y?q=private&hunter2=1")
	b.requestLines(1)
	b.get("/nowhere/" + strings.Repeat("x", 3000) + "?token=hunter2")
	b.get(healthPath)
	lines := b.requestLines(2)
	if len(lines) != 2 {
		t.Errorf("%d lines; want 2 (none for the health check)", len(lines))
	}
	first := lines[0]
	for field, want := range map[string]any{
		"route": "/a/", "method": "GET", "path": "/a/x%20y", "status": float64(200), "bytes": float64(5), "event": "request", "level": "info",
	} {
		if first[field] != want {
			t.Errorf("%s is %v; want %v", field, first[field], want)
		}
	}
	if _, ok := first["duration_ms"].(float64); !ok {
		t.Errorf("no duration: %v", first)
	}
	if path, _ := lines[1]["path"].(string); len(path) > maxAuditPath+10 {
		t.Errorf("a path of %d bytes was logged", len(path))
	}
	if text := b.log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "private") {
		t.Errorf("the log has a query:\n%s", text)
	}
}
