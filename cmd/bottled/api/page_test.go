package api

import (
	"net/http"
	"os/user"
	"strings"
	"testing"
)

// namedPage is a page whose links say for whom they are.
type namedPage struct{ http.Handler }

func (namedPage) Link(user string, readOnly bool) (host, path string) {
	if readOnly {
		user += "-reading"
	}
	return "bottled-x.localhost", "/login/" + user
}

// TestLink: who asks on the socket gets a link for themselves, and nobody gets one on the loopback address.
func TestLink(t *testing.T) {
	page := namedPage{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
	r := start(t, Options{TCP: "127.0.0.1:0", Page: page}, defaultPace)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	address := r.TCPAddr().String()
	for readOnly, suffix := range map[bool]string{false: "", true: "-reading"} {
		want := strings.Replace("http://"+address, "127.0.0.1", "bottled-x.localhost", 1) + "/login/" + me.Username + suffix
		if link, err := Dial(r.socket).Link(t.Context(), readOnly); err != nil || link != want {
			t.Errorf("%s, %v; want %s", link, err, want)
		}
	}
	if code, body := call(t, http.DefaultClient, "POST", "http://"+address+"/v1/links", "{}"); code != 403 {
		t.Errorf("on the loopback address: %d %q", code, body)
	}
	for path, want := range map[string]int{"/": http.StatusTeapot, "/login/x": http.StatusTeapot, "/v1/none": 404, "/healthz": 200} {
		if code, _ := call(t, http.DefaultClient, "GET", "http://"+address+path, ""); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	for name, c := range map[string]struct {
		o    Options
		says string
	}{
		"no listener":                         {Options{Page: page}, "--listen 127.0.0.1:9300"},
		"no page":                             {Options{TCP: "127.0.0.1:0"}, "serves no page"},
		"an address that browsers do not ask": {Options{TCP: "127.0.0.2:0", Page: page}, "at 127.0.0.1, not at 127.0.0.2"},
	} {
		if link, err := Dial(start(t, c.o, defaultPace).socket).Link(t.Context(), false); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s, %v", name, link, err)
		}
	}
}
