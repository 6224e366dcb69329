package traffic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state/audit"
)

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func deny(host, code string, count uint64) *audit.Statement {
	return &audit.Statement{Action: "deny", Host: audit.Text(host), Code: audit.Text(code), Count: count}
}

func TestDeniedHosts(t *testing.T) {
	var table Table
	for i := range 30 {
		for range i + 1 {
			table.Add(audit.KindEgress, deny(fmt.Sprintf("H%d.example", i), audit.CodeHostNotAllowed, 0), start.Add(time.Duration(i)*time.Second))
		}
	}
	table.Add(audit.KindEgress, deny("api.example", audit.CodeDLP, 100), start)
	table.Add(audit.KindEgress, deny("", "invented", 7), start)
	table.Add(audit.KindEgress, &audit.Statement{Action: "allow", Host: "fine.example"}, start)
	s := table.Summary()
	if s.Denied != 30*31/2+107 || s.DLPBlocks != 100 || len(s.DeniedHosts) != topTargets {
		t.Errorf("%+v", s)
	}
	if first, second := s.DeniedHosts[0], s.DeniedHosts[1]; first.Host != "api.example" || first.Count != 100 || first.Code != audit.CodeDLP ||
		second.Host != "h29.example" || second.Count != 30 || !second.Last.Equal(start.Add(29*time.Second)) {
		t.Errorf("%+v, %+v", first, second)
	}
}

// TestHostileNames: an agent that asks for any number of names neither makes the table grow nor hides a host that was denied before.
func TestHostileNames(t *testing.T) {
	var table Table
	for range 3 {
		table.Add(audit.KindEgress, deny("wanted.example", audit.CodeHostNotAllowed, 0), start)
	}
	for i := range 10_000 {
		name := strings.Repeat("é", 600) + fmt.Sprint(i)
		table.Add(audit.KindEgress, deny(fmt.Sprint(i)+name, "code"+name, 0), start.Add(time.Second))
		table.Add(audit.KindRequest, &audit.Statement{Route: audit.Text(fmt.Sprint("/", i)), Code: audit.CodeCredentialRejected, Rejected: 9}, start)
	}
	if len(table.targets) != maxTargets || len(table.routes) != maxRoutes {
		t.Errorf("%d targets, %d routes", len(table.targets), len(table.routes))
	}
	s := table.Summary()
	if s.DeniedHosts[0].Host != "wanted.example" || s.DeniedHosts[0].Count != 3 || s.Denied != 10_003 {
		t.Errorf("%+v", s)
	}
	if h := s.DeniedHosts[1]; h.Code != "other" || len(h.Host) > maxText+len("…") {
		t.Errorf("%+v", h)
	}
	if message := s.RejectedMessage(); len(message) > 1000 || !strings.HasSuffix(message, "; 59 more routes") {
		t.Errorf("%s", message)
	}
	table.Add(audit.KindEgress, deny("x", "", ^uint64(0)), start)
	if s := table.Summary(); s.Denied != ^uint64(0) {
		t.Errorf("the count overflowed to %d", s.Denied)
	}
}

func TestCredentials(t *testing.T) {
	const rejected, unusable = audit.CodeCredentialRejected, audit.CodeCredentialUnusable
	end := func(status, code string) *audit.Statement {
		return &audit.Statement{Phase: "end", Route: "/a/", Host: "api.example", Status: audit.Text(status), Code: audit.Text(code)}
	}
	answered := "route /a/ (api.example): the upstream answered 401 to the last 3 requests"
	for name, c := range map[string]struct {
		statements []*audit.Statement
		kinds      map[int]string // of those that are not requests
		want       string
	}{
		"nothing":          {statements: []*audit.Statement{end("200", "")}},
		"once or twice":    {statements: []*audit.Statement{end("401", rejected), end("403", rejected)}},
		"repeatedly":       {statements: []*audit.Statement{end("401", rejected), end("403", rejected), end("401", rejected)}, want: answered},
		"with one between": {statements: []*audit.Statement{end("401", rejected), end("401", rejected), end("404", ""), end("401", rejected)}},
		"cured":            {statements: []*audit.Statement{end("401", rejected), end("401", rejected), end("401", rejected), end("200", "")}},
		"failures of others don't cure it": {
			statements: []*audit.Statement{end("401", rejected), end("401", rejected), end("401", rejected), end("502", ""), {Phase: "begin", Route: "/a/"}}, want: answered,
		},
		"another token": {
			statements: []*audit.Statement{end("401", rejected), end("401", rejected), end("401", rejected), {Action: "loaded", Route: "/a/"}},
			kinds:      map[int]string{3: audit.KindCredential},
		},
		"many, counted": {
			statements: []*audit.Statement{{Phase: "count", Route: "/a/", Host: "api.example", Count: 50, Ended: 50, Failed: 50, Rejected: 40, Code: rejected}},
			want:       "route /a/ (api.example): the upstream rejected the last 40 requests",
		},
		"can't be sent": {
			statements: []*audit.Statement{{Action: "missing", Route: "/a/", Host: "api.example", Code: unusable, Reason: "the token has two lines"}},
			kinds:      map[int]string{0: audit.KindCredential}, want: "route /a/ (api.example): the token has two lines",
		},
		"can't be sent, found by a request": {statements: []*audit.Statement{end("503", unusable)}, want: "route /a/ (api.example): its token can't be sent"},
		"mended": {
			statements: []*audit.Statement{{Action: "missing", Route: "/a/", Code: unusable, Reason: "it is empty"}, {Action: "loaded", Route: "/a/"}},
			kinds:      map[int]string{0: audit.KindCredential, 1: audit.KindCredential},
		},
	} {
		var table Table
		for i, s := range c.statements {
			kind := audit.KindRequest
			if k := c.kinds[i]; k != "" {
				kind = k
			}
			table.Add(kind, s, start)
		}
		if got := table.Summary().RejectedMessage(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
