package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/reconciler"
)

func TestEvents(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	for id := range uint64(4) {
		r.source.Record(reconciler.Event{ID: id + 1, Bottle: []string{"dev", "", "alpha", "dev"}[id], Message: "a\x1b[31m\nb"})
	}
	c := Dial(r.socket)
	for _, want := range []struct {
		bottle string
		after  uint64
		ids    string
	}{
		{"", 0, "[1 2 3 4]"},
		{"dev", 0, "[1 4]"},
		{"dev", 1, "[4]"},
		{"a/b?&", 0, "[]"},
	} {
		events, err := c.Events(t.Context(), want.bottle, want.after)
		ids := []uint64{}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if err != nil || fmt.Sprint(ids) != want.ids {
			t.Errorf("bottle %q after %d: %v, %v, want %s", want.bottle, want.after, ids, err, want.ids)
		}
	}
	for _, path := range []string{"/v1/events", "/v1/events/stream"} {
		if code, body := call(t, unixHTTP(r.socket), "GET", "http://x"+path+"?after=x", ""); code != 400 || !strings.Contains(body, "a number") {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if _, body := call(t, unixHTTP(r.socket), "GET", "http://x/v1/events", ""); strings.Contains(body, "\x1b") {
		t.Errorf("it controls the terminal: %q", body)
	}
}

// TestWatchEvents: a client gets each event once, and goes on where another stream ended.
func TestWatchEvents(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	enough := errors.New("enough")
	var seen []uint64
	watchUntil := func(last uint64) {
		t.Helper()
		var after uint64
		if len(seen) > 0 {
			after = seen[len(seen)-1]
		}
		err := Dial(r.socket).WatchEvents(t.Context(), "dev", after, func(e reconciler.Event) error {
			if seen = append(seen, e.ID); e.ID == last {
				return enough
			}
			r.source.Record(reconciler.Event{ID: e.ID + 1, Bottle: "dev"})
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	r.source.Record(reconciler.Event{ID: 1, Bottle: "dev"})
	watchUntil(3)
	r.source.Record(reconciler.Event{ID: 4, Bottle: "dev"})
	watchUntil(5)
	if !slices.Equal(seen, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("%v", seen)
	}
}
