package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
)

func TestWatchNoticesSilence(t *testing.T) {
	r := start(t, Options{}, streamTiming{debounce: time.Millisecond, keepAlive: 20 * time.Millisecond, write: time.Second})
	c := Dial(r.socket)
	c.silence = 400 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Watch(ctx, func(reconciler.Status) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stream with signs of life ended: %v", err)
	}
	mute := start(t, Options{}, streamTiming{debounce: time.Millisecond, keepAlive: time.Hour, write: time.Second})
	c = Dial(mute.socket)
	c.silence = 100 * time.Millisecond
	if err := c.Watch(t.Context(), func(reconciler.Status) error { return nil }); err == nil || !strings.Contains(err.Error(), "silent for 100ms") {
		t.Errorf("a silent stream: %v", err)
	}
}

// TestStream: two clients get every state that lasts, and one that does not read is dropped without disturbing them.
func TestStream(t *testing.T) {
	r := start(t, Options{}, streamTiming{debounce: 20 * time.Millisecond, keepAlive: time.Hour, write: 300 * time.Millisecond})
	stuck, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprint(stuck, "GET /v1/status/stream HTTP/1.1\r\nHost: x\r\n\r\n")

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	seen := [2]chan string{make(chan string, 100), make(chan string, 100)}
	for _, c := range seen {
		group.Go(func() {
			err := Dial(r.socket).Watch(ctx, func(live reconciler.Status) error {
				c <- live.Controller.Revision
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Watch: %v", err)
			}
		})
	}
	waitFor(t, "all three follow", func() bool { return r.source.Followers() == 3 })
	big := strings.Repeat("x", 1<<20) // more than the socket's buffers hold
	for i := range 5 {
		want := fmt.Sprintf("r%d", i+1)
		live := liveAt(want)
		live.Controller.SourceError = big
		begin := time.Now()
		r.source.Set(live)
		for _, c := range seen {
			for got := ""; got != want; {
				select {
				case got = <-c:
				case <-time.After(10 * time.Second):
					t.Fatalf("no %s", want)
				}
			}
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s arrived after %s", want, took)
		}
	}
	waitFor(t, "the stuck client is dropped", func() bool { return r.source.Followers() == 2 })
	cancel()
	group.Wait()
	waitFor(t, "nobody follows", func() bool { return r.source.Followers() == 0 && len(r.unix.streams) == 0 })
}

func TestStreamFormat(t *testing.T) {
	r := start(t, Options{}, streamTiming{debounce: 10 * time.Millisecond, keepAlive: 50 * time.Millisecond, write: time.Second})
	live := liveAt("r\nwith a break")
	r.source.Set(live)
	resp, err := unixHTTP(r.socket).Get("http://x/v1/status/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	live.Bottles = []reconciler.BottleStatus{}
	data, err := json.Marshal(live)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"event: status", "data: " + string(data), "", ": keep-alive", "", ": keep-alive"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("line %q, want %q (%v)", lines.Text(), want, lines.Err())
		}
	}
}

// TestCoalesce: many changes at once are one event, and no change is none.
func TestCoalesce(t *testing.T) {
	r := start(t, Options{}, streamTiming{debounce: 200 * time.Millisecond, keepAlive: time.Hour, write: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 1000)
	go Dial(r.socket).Watch(ctx, func(live reconciler.Status) error {
		got <- live.Controller.Revision
		return nil
	})
	if first := <-got; first != "r0" {
		t.Fatalf("first event %s", first)
	}
	for i := range 1000 {
		r.source.Set(liveAt(fmt.Sprintf("r%d", i+1)))
	}
	if next := <-got; next != "r1000" {
		t.Errorf("%s, want the last of the changes at once", next)
	}
	r.source.Set(liveAt("r1000"))
	select {
	case again := <-got:
		t.Errorf("%s came again, with nothing changed", again)
	case <-time.After(500 * time.Millisecond):
	}
}

func TestStreamsAreBounded(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range unixBudget.streams {
		go Dial(r.socket).Watch(ctx, func(reconciler.Status) error { return nil })
	}
	waitFor(t, "all streams are taken", func() bool { return len(r.unix.streams) == unixBudget.streams })
	err := Dial(r.socket).Watch(ctx, func(reconciler.Status) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("one stream too many: %v", err)
	}
	if _, err := Dial(r.socket).Status(t.Context()); err != nil {
		t.Errorf("a plain request beside: %v", err)
	}
	cancel()
	waitFor(t, "there is room again", func() bool { return len(r.unix.streams) == 0 })
}
