package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, html string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write([]byte(html))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestObstacles: each check finds what it is for, and a page without obstacles has none.
func TestObstacles(t *testing.T) {
	const head = `<!doctype html><html lang="en"><head><title>t</title></head><body>`
	tab := Open(t, serve(t, head+`<main><h1>Good</h1><h2>Fine</h2><button>Press<br>it</button><label>Name <input></label></main>`))
	if all := tab.Obstacles(); len(all) > 0 {
		t.Errorf("found in a good page: %s", strings.Join(all, "\n"))
	}
	tab.Visit(serve(t, `<!doctype html><body><h2>Low</h2><button></button><input id="a"><p id="a">text</p><font color="#cccccc">pale</font>
		<label for="nobody">label</label><a href="/" tabindex="3">link</a><table aria-label="t"><tr><th>h</th><td><pre>`+strings.Repeat("wide", 1000)+`</pre></td></tr></table>`))
	found := strings.Join(tab.Obstacles(), "\n")
	for _, want := range []string{
		"a button has no name", "a textbox has no name", "no language", "no title", "not one main", "not one first heading", "skips a level", "not unique", "of nothing",
		"positive tabindex", "no scope", "contrast 1.", "a small button", "wider than its window",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found in a bad page:\n%s", want, found)
		}
	}
}

// TestErrors: a page that tries what its policy forbids is found out.
func TestErrors(t *testing.T) {
	tab := Open(t, serve(t, `<!doctype html><script>document.title = "ran"</script><h1 id="h">text</h1>`))
	tab.WaitText("#h", "text")
	var all []string
	for deadline := time.Now().Add(patience); len(all) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		all = tab.Errors()
	}
	if len(all) != 1 || !strings.Contains(all[0], "Content Security Policy") {
		t.Errorf("%q", all)
	}
}
