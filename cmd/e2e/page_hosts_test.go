package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	webpage "github.com/bot-bottle/bottled/cmd/bottled/page"
	"github.com/bot-bottle/bottled/cmd/e2e/harness/browser"
)

// otherPort is a server on another port of this machine: an agent's page, or one of another user. By every name that leads to it, it has a
// browser ask it for more, and tries to plant a cookie.
type otherPort struct {
	mu    sync.Mutex
	asked map[string]bool // hosts
	got   []string        // cookies that are not its own
}

func (o *otherPort) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	host, _, _ := strings.Cut(r.Host, ":")
	o.asked[host] = true
	for _, c := range r.Cookies() {
		if c.Value != "planted" {
			o.got = append(o.got, r.Host+" "+c.String())
		}
	}
	w.Header().Add("Set-Cookie", "bottled=planted; Domain=localhost; Path=/")
	w.Header().Add("Set-Cookie", "bottled=planted; Path=/")
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, `<h1>here</h1><script>if (location.pathname === "/") fetch("/more").then(() => document.querySelector("h1").textContent = "asked")</script>`)
}

// TestPageAndOtherPorts: a browser that is signed in brings the page's cookie to no other port of this machine, by whatever name of it that
// anybody knows, and goes on with the page's own.
func TestPageAndOtherPorts(t *testing.T) {
	t.Parallel()
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("dev", "Ready", "")))
	served := webpage.New(source, noDetails{}, zerolog.Nop())
	server := httptest.NewServer(served)
	t.Cleanup(server.Close)
	other := &otherPort{asked: map[string]bool{}}
	agents := httptest.NewServer(other)
	t.Cleanup(agents.Close)

	host, path := served.Link("ann", false)
	home := strings.Replace(server.URL, "127.0.0.1", host, 1)
	tab := browser.Open(t, home+path)
	tab.Click("main form button")
	tab.WaitText("h2", "Inbox")
	for _, name := range []string{"127.0.0.1", "localhost", "bottled.localhost", "bottled-x.localhost"} {
		tab.Visit(strings.Replace(agents.URL, "127.0.0.1", name, 1))
		tab.WaitText("h1", "asked")
	}
	tab.Visit(home)
	tab.WaitText("h2", "Inbox")
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.asked) != 4 || len(other.got) > 0 {
		t.Errorf("another port was asked by %v, and got %q", other.asked, other.got)
	}
}
