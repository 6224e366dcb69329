package pipelock

import (
	"net/http"
	"strings"
	"testing"
)

// TestForwardRebinding: a connection kept from an allowed answer is used again, and a new one needs an
// allowed answer again.
func TestForwardRebinding(t *testing.T) {
	base := upstreamFor(t, "rebind.test", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
	})
	p := startProxy(t, settings([]string{"rebind.test"}, ""), map[string][]string{"rebind.test": {"127.0.0.1", "169.254.169.254"}})
	for _, c := range []struct {
		path   string
		status int
	}{{"/", 200}, {"/close", 200}, {"/", 403}} {
		resp, err := p.client().Get(base + c.path)
		if err != nil {
			t.Fatal(err)
		}
		if body(t, resp); resp.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", c.path, resp.Status, c.status)
		}
	}
}

// TestForwardReloadNarrows: a kept connection doesn't outlive the policy that allowed its address.
func TestForwardReloadNarrows(t *testing.T) {
	base := upstreamFor(t, "local.test", func(http.ResponseWriter, *http.Request) {})
	p := startProxy(t, settings([]string{"local.test"}, ""), map[string][]string{"local.test": toLoopback})
	get := func() int {
		resp, err := p.client().Get(base)
		if err != nil {
			t.Fatal(err)
		}
		body(t, resp)
		return resp.StatusCode
	}
	if got := get(); got != http.StatusOK {
		t.Fatal(got)
	}
	p.reload(strings.Replace(settings([]string{"local.test"}, ""), "127.0.0.0/8", "10.0.0.0/8", 1))
	if got := get(); got != http.StatusForbidden {
		t.Errorf("after the range was taken away: %d", got)
	}
}
