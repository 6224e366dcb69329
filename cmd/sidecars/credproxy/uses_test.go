package credproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
)

// usesLine is an audit line, as far as it matters here.
type usesLine struct {
	Phase    string
	Route    string
	Refused  bool
	AtMost   int `json:"at_most"`
	Count    int
	Ended    int
	Failed   int
	Rejected int
	Number   int
}

func usesLines(t *testing.T, text string) (lines []usesLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l usesLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Number != len(lines)+1 {
			t.Errorf("line %d has number %d", len(lines)+1, l.Number)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestFloodOfCredentialUses: each of 42,000 in 4 s is covered by a line that was written before it is made, and all are counted.
func TestFloodOfCredentialUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const flood = 42000
		out := &sidecartest.Buffer{}
		a := newAuditLog(zerolog.Nop(), out, nil)
		a.log = zerolog.New(out) // for the format only: see newAuditLine
		key := usesKey{route: "/api/"}
		covered, used, seen := 0, 0, 0
		for range flood {
			own, err := a.use(key)
			if err != nil {
				t.Fatal(err)
			}
			if own {
				covered++ // by the line that the caller writes
			}
			text := out.String()
			for line := range strings.Lines(text[seen:]) {
				var l usesLine
				if json.Unmarshal([]byte(line), &l) == nil && l.Phase == "reserve" {
					covered += l.AtMost
				}
			}
			seen = len(text)
			if used++; used > covered {
				t.Fatalf("use %d is made, and lines cover %d", used, covered)
			}
			a.used(key, result{failed: used%2 == 0, rejected: used%4 == 0, sent: 1, received: 1})
			<-time.After(4 * time.Second / flood)
		}
		<-time.After(sidecar.Window)
		synctest.Wait()
		lines := usesLines(t, out.String())
		last := lines[len(lines)-1]
		if want := (usesLine{Phase: "count", Route: "/api/", Count: flood - routeRequests, Ended: flood, Failed: flood / 2, Rejected: flood / 4, Number: len(lines)}); last != want {
			t.Errorf("the count: %+v, want %+v", last, want)
		}
		if len(lines) > 20 || covered > 3*flood {
			t.Errorf("%d lines cover %d requests", len(lines), covered)
		}
	})
}

// TestFloodOverManyRoutes has not more lines of requests than one route's, of each kind.
func TestFloodOverManyRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sidecartest.Buffer{}
		a := newAuditLog(zerolog.New(out), out, nil)
		own := map[bool]int{}
		for i := range 20000 {
			key := usesKey{route: fmt.Sprintf("/%d/", i%40), refused: i%3 == 0}
			line, err := a.use(key)
			if err != nil {
				t.Fatal(err)
			}
			if line {
				own[key.refused]++
			}
		}
		if own[true] != allRequests || own[false] != allRequests {
			t.Errorf("%v requests with lines of their own", own)
		}
		if n := strings.Count(out.String(), "\n"); n > 80*8 {
			t.Errorf("%d announcements", n)
		}
	})
}

// TestUseThatCanNotBeAnnounced is not made, nor is another one on the strength of the line that failed.
func TestUseThatCanNotBeAnnounced(t *testing.T) {
	u := newUpstream(t, func(http.ResponseWriter, *http.Request) {})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	out := &failing{}
	b.handler.audit = newAuditLog(zerolog.New(b.log), out, b.handler.errorLog)
	get := func() int {
		resp, err := http.Get(b.server.URL + "/a/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for range routeRequests {
		if got := get(); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	out.fail(syscall.ENOSPC)
	for range 3 {
		if got := get(); got != http.StatusServiceUnavailable {
			t.Errorf("status %d without an announcement", got)
		}
	}
	out.err.Store(nil)
	if got := get(); got != http.StatusOK || !strings.Contains(out.String(), `"phase":"reserve","route":"/a/","at_most":`) {
		t.Errorf("status %d; the log:\n%s", got, out.String())
	}
	b.handler.audit.count()
	if !strings.Contains(out.String(), `"phase":"count","route":"/a/","count":1,"ended":1,"failed":0`) {
		t.Errorf("the log:\n%s", out.String())
	}
}
