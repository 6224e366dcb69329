package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/reconciler"
)

func TestActivity(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	r.source.Activities = make(chan reconciler.Activity, 1)
	want := reconciler.Activity{Time: time.Unix(1e9, 0).UTC(), Bottles: map[string]reconciler.BottleActivity{
		"dev": {CPU: 0.5, Memory: 7, Requests: 3, Rejection: &reconciler.Rejection{Route: "/\u2028", Status: "429"}, Components: []reconciler.ComponentActivity{{Component: "agent", CPU: 0.5}}},
	}}
	r.source.Activities <- want
	enough := errors.New("enough")
	err := Dial(r.socket).WatchActivity(t.Context(), func(got reconciler.Activity) error {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestTraffic(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	want := reconciler.BottleTraffic{
		Hosts:  []reconciler.HostTraffic{{Host: "a.example", Port: 443, Allowed: 1, Last: time.Unix(1e9, 0).UTC()}},
		Routes: []reconciler.RouteTraffic{{Route: "/a/", Requests: 2, Statuses: map[string]uint64{"2xx": 2}, Last: time.Unix(1e9, 0).UTC()}},
	}
	r.source.Traffics = map[string]reconciler.BottleTraffic{"dev": want}
	got, err := Dial(r.socket).Traffic(t.Context(), "dev")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := Dial(r.socket).Traffic(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), `there is no bottle "none"`) {
		t.Errorf("%v", err)
	}
}

// TestActivityNeedsAToken on TCP: it has names that agents chose.
func TestActivityNeedsAToken(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	for _, path := range []string{"/v1/activity/stream", "/v1/bottles/dev/traffic"} {
		if code, _ := call(t, http.DefaultClient, "GET", "http://"+r.TCPAddr().String()+path, ""); code != 403 {
			t.Errorf("%s: %d", path, code)
		}
	}
}
