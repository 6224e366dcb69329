package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// operator fails unless the operator's socket serves everything that it is for.
func operator(t *testing.T, r *running) {
	t.Helper()
	ctx := t.Context()
	if _, err := Dial(r.socket).Status(ctx); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := Dial(r.socket).Sync(ctx, false); err != nil {
		t.Errorf("sync: %v", err)
	}
	if err := Dial(r.socket).Watch(ctx, func(reconciler.Status) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("watch: %v", err)
	}
}

// TestTCPReaderCannotLockOutTheOperator has an unprivileged user of the host take all that the loopback address gives.
func TestTCPReaderCannotLockOutTheOperator(t *testing.T) {
	before := tcpBudget
	tcpBudget.connections, tcpBudget.requests, tcpBudget.streams = 8, 4, 4
	defer func() { tcpBudget = before }()
	for name, request := range map[string]string{
		"streams":            "GET /v1/status/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"half a header":      "GET /v1/status HTTP/1.1\r\nHost: local",
		"nothing":            "",
		"an endless body":    "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
		"idle connections":   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"requests unread":    strings.Repeat("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
		"a header too large": "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
			for range 2*tcpBudget.connections + unixBudget.streams {
				conn, err := net.DialTimeout("tcp", r.TCPAddr().String(), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, request) }()
			}
			if name == "streams" {
				waitFor(t, "all streams of the address are taken", func() bool { return len(r.tcp.streams) == tcpBudget.streams })
			}
			operator(t, r)
		})
	}
}

// TestStreamOutlivesTheTimeForARequest: a stream has no end, and a request has.
func TestStreamOutlivesTheTimeForARequest(t *testing.T) {
	before := unixBudget
	unixBudget.answer = 50 * time.Millisecond
	defer func() { unixBudget = before }()
	r := start(t, Options{}, streamTiming{debounce: time.Millisecond, keepAlive: 20 * time.Millisecond, write: time.Second})
	began, last := time.Now(), ""
	err := Dial(r.socket).Watch(t.Context(), func(l reconciler.Status) error {
		if last = l.Controller.Revision; last == "r1" {
			return io.EOF
		}
		time.AfterFunc(4*unixBudget.answer, func() { r.source.Set(liveAt("r1")) })
		return nil
	})
	if !errors.Is(err, io.EOF) || time.Since(began) < 4*unixBudget.answer {
		t.Errorf("it ended after %s: %v", time.Since(began), err)
	}
}

// TestAnswersDoNotSteerTheTerminal of somebody who asks with curl, and are exact for a program.
func TestAnswersDoNotSteerTheTerminal(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	const hostile = "\x1b]0;x\a\u202e\u009b2J\U000e0041\x7f"
	r.source.Set(liveAt(hostile))
	for _, path := range []string{"/v1/status", "/readyz"} {
		if _, body := call(t, unixHTTP(r.socket), "GET", "http://x"+path, ""); printable.Check(body) != nil {
			t.Errorf("%s: %q", path, body)
		}
	}
	if live, err := Dial(r.socket).Status(t.Context()); err != nil || live.Controller.Revision != hostile {
		t.Errorf("%q, %v", live.Controller.Revision, err)
	}
	err := Dial(r.socket).Watch(t.Context(), func(live reconciler.Status) error {
		if live.Controller.Revision != hostile {
			t.Errorf("the stream says %q", live.Controller.Revision)
		}
		return io.EOF
	})
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestTrafficIsTheOperators: an agent may have put a secret into the name of a host.
func TestTrafficIsTheOperators(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	r.source.Set(liveAt("r0", reconciler.BottleStatus{Slug: "dev", Traffic: &reconciler.Traffic{DeniedHosts: []reconciler.DeniedHost{{Host: "secret.example"}}}}))
	if _, body := call(t, unixHTTP(r.socket), "GET", "http://x/v1/status", ""); !strings.Contains(body, "secret.example") {
		t.Errorf("the operator gets %q", body)
	}
	if _, body := call(t, http.DefaultClient, "GET", "http://"+r.TCPAddr().String()+"/v1/status", ""); strings.Contains(body, "secret") || !strings.Contains(body, "dev") {
		t.Errorf("others get %q", body)
	}
}
