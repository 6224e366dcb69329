package api

import (
	"net/http"
	"os/user"
	"slices"
	"testing"

	"github.com/bot-bottle/bottled/reconciler"
)

// TestOrder: the operator's socket takes orders, and says what is wrong with others in the controller's words.
func TestOrder(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	c := Dial(r.socket)
	if err := c.Order(t.Context(), "dev", reconciler.OrderRestart, "agent"); err != nil {
		t.Error(err)
	}
	if err := c.Order(t.Context(), "dev", reconciler.OrderCut, ""); err != nil {
		t.Error(err)
	}
	for bottle, says := range map[string]string{"none": reconciler.NoBottle("none", nil).Error(), "odd": "not possible: it is odd"} {
		if err := c.Order(t.Context(), bottle, reconciler.OrderCut, ""); err == nil || err.Error() != says {
			t.Errorf("%s: %v, want %q", bottle, err, says)
		}
	}
	for path, want := range map[string]int{"none/cut": 404, "odd/cut": 409, "dev": 404, "dev/cut/x": 404} {
		if code, body := call(t, unixHTTP(r.socket), "POST", "http://x/v1/bottles/"+path, ""); code != want {
			t.Errorf("%s: %d %q, want %d", path, code, body, want)
		}
	}
	if code, _ := call(t, unixHTTP(r.socket), "GET", "http://x/v1/bottles/dev/cut", ""); code != 405 {
		t.Errorf("GET: %d", code)
	}
	if code, _ := call(t, http.DefaultClient, "POST", "http://"+r.TCPAddr().String()+"/v1/bottles/dev/resume", ""); code != 403 {
		t.Errorf("on the loopback address: %d", code)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if by := r.source.OrderedBy(); !slices.Equal(by, []string{me.Username, me.Username}) {
		t.Errorf("by %q", by)
	}
	if got := r.source.Orders(); !slices.Equal(got, []string{"restart dev/agent", "cut dev"}) {
		t.Errorf("%q", got)
	}
}
