package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/reconciler"
)

// served serves the page, and returns a function that opens one of its streams.
func served(t *testing.T, v *visitor) (follow func(query string) *http.Response) {
	t.Helper()
	server := httptest.NewServer(v.page)
	t.Cleanup(server.Close)
	return func(query string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/live?"+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = v.host
		r.AddCookie(&http.Cookie{Name: cookieName, Value: v.cookie})
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
}

// next returns the next updates of a stream, by list.
func next(t *testing.T, r *bufio.Reader) map[string]update {
	t.Helper()
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		data, is := strings.CutPrefix(text, "data: ")
		if !is {
			continue
		}
		var all []update
		if err := json.Unmarshal([]byte(data), &all); err != nil {
			t.Fatal(err)
		}
		by := map[string]update{}
		for _, u := range all {
			by[u.List] = u
		}
		return by
	}
}

// TestLive: a stream begins with everything, and goes on with what changes.
func TestLive(t *testing.T) {
	v := open(t).signIn("ann", false)
	status := apitest.Status(apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Ready", ""), apitest.Bottle("c", "Ready", ""))
	v.source.Set(status)
	follow := served(t, v)
	stream := bufio.NewReader(follow("page=index&order=name").Body)
	if u := next(t, stream)["fleet"]; fmt.Sprint(u.Order) != "[b-a b-b b-c]" || len(u.HTML) != 3 {
		t.Errorf("%+v", u)
	}
	status.Bottles = slices.Clone(status.Bottles)
	status.Bottles[1] = apitest.Bottle("b", "Failed", "no image")
	v.source.Set(status)
	by := next(t, stream)
	if u := by["fleet"]; len(by) != 1 || fmt.Sprint(u.Order) != "[b-a b-b b-c]" || fmt.Sprint(slices.Collect(maps.Keys(u.HTML))) != "[b-b]" || !strings.Contains(u.HTML["b-b"], "no image") {
		t.Errorf("%+v", by)
	}
	status.Bottles = status.Bottles[1:]
	v.source.Set(status)
	by = next(t, stream)
	if u := by["fleet"]; len(by) != 1 || fmt.Sprint(u.Order) != "[b-b b-c]" || len(u.HTML) != 0 {
		t.Errorf("%+v", by)
	}
	v.source.SetProposals(review(nil))
	by = next(t, stream)
	if u := by["inbox"]; len(by) != 1 || len(u.Order) != 1 || !strings.Contains(u.HTML[u.Order[0]], "allow a.example:443") {
		t.Errorf("%+v", by)
	}
}

// TestStreamsAreBounded: who opens too many is refused, and takes nothing from the page itself.
func TestStreamsAreBounded(t *testing.T) {
	v := open(t).signIn("ann", false)
	follow := served(t, v)
	for i := range maxStreams + 2 {
		resp := follow("page=index")
		want := http.StatusOK
		if i >= maxStreams {
			want = http.StatusServiceUnavailable
		}
		if resp.StatusCode != want {
			t.Fatalf("stream %d: %d", i, resp.StatusCode)
		}
	}
	if w := v.send("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("the page: %d", w.Code)
	}
	if w := open(t).send("GET", "/live?page=index", nil); w.Code != http.StatusUnauthorized {
		t.Errorf("without a session: %d", w.Code)
	}
	if w := v.send("GET", "/live?page=bottle&bottle=none", nil); w.Code != http.StatusNotFound {
		t.Errorf("no such bottle: %d", w.Code)
	}
}

// fleetOf is a fleet in which a bottle in ten needs somebody.
func fleetOf(n int) reconciler.Status {
	var all []reconciler.BottleStatus
	for i := range n {
		reason := "Ready"
		if i%10 == 0 {
			reason = "Failed"
		}
		all = append(all, apitest.Bottle(fmt.Sprintf("bottle-%03d", i), reason, "", apitest.Component("agent", "running", 0)))
	}
	return apitest.Status(all...)
}

// BenchmarkUpdate is what one update of a page with 500 bottles costs, of which one has changed.
func BenchmarkUpdate(b *testing.B) {
	for name, q := range map[string]indexQuery{"folded": {}, "all": {All: true}} {
		b.Run(name, func(b *testing.B) {
			source := &apitest.Source{}
			p := New(source, &details{}, zerolog.Nop())
			s := &Session{Token: "t"}
			seen := memory{}
			status := fleetOf(500)
			sent := 0
			for i := 0; b.Loop(); i++ {
				status.Bottles[i%500].Message = fmt.Sprint(i)
				updates, err := seen.changes(p.indexLists(context.Background(), overview.Snapshot{Status: status}, q, s))
				if err != nil {
					b.Fatal(err)
				}
				if i > 0 {
					for _, u := range updates {
						for _, html := range u.HTML {
							sent += len(html)
						}
					}
				}
			}
			b.ReportMetric(float64(sent)/float64(b.N), "html-bytes/op")
		})
	}
}
