package credproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestShutdownWaitsForStreams(t *testing.T) {
	proceed := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-proceed
		_, _ = io.WriteString(w, "the end")
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	idle := b.converse()
	idle.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.hears("GET")
	resp, err := http.Get(b.server.URL + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ended := make(chan error, 1)
	go func() { ended <- b.server.Shutdown(t.Context()) }()
	idle.hearsTheEnd()
	if _, err := net.Dial("tcp", b.server.Listener.Addr().String()); err == nil {
		t.Error("a server that is being stopped takes connections")
	}
	select {
	case err := <-ended:
		t.Errorf("shutdown returned %v while a stream is open", err)
	default:
	}
	close(proceed)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "the end" {
		t.Errorf("%q, %v; want the stream to go on", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if !strings.Contains(b.log.String(), `"phase":"end"`) {
		t.Errorf("the end is not on record when shutdown has returned:\n%s", b.log)
	}
}

// TestCloseCutsStreamsOff, in any protocol, and puts it on record.
func TestCloseCutsStreamsOff(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	for protocol, client := range clients(t) {
		resp, err := client.Get(b.server.URL + "/a/")
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		defer resp.Body.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v; want that it was not waited for", err)
	}
	if err := b.server.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := strings.Count(b.log.String(), `"aborted":true`); got != 2 {
		t.Errorf("%d streams are on record as cut off when close has returned; want 2:\n%s", got, b.log)
	}
}
