package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/printable"
)

func TestDecision(t *testing.T) {
	for record, want := range map[string]string{
		`{"kind":"egress","action":"deny","method":"GET","host":"example.com","port":80,"status":403,"reason":"domain not in allowlist: example.com"}`://
		"! DENY   GET example.com:80  403  not in allowlist",
		`{"kind":"egress","action":"allow","method":"CONNECT","host":"a.test","port":443,"status":"200","sent":3}`:                         "  ALLOW  CONNECT a.test:443  200",
		`{"kind":"egress","action":"allow","method":"GET","host":"a.test","port":80,"status":"200","warning":"request URL: GitHub token"}`: "  ALLOW  GET a.test:80  200  warning: request URL: GitHub token",
		`{"kind":"egress","action":"error","method":"GET","host":"a.test","port":80,"status":"502","reason":"no address"}`:                 "! ERROR  GET a.test:80  502  no address",
		`{"kind":"egress","action":"deny","status":"403","code":"dlp","reason":"request URL contains secret"}`:                             "! DENY   (not named)  403  request URL contains secret",
		`{"kind":"egress","action":"deny","others":true,"count":12}`:                                                                       "! DENY   several hosts  12 more",
		`{"kind":"request","phase":"begin","method":"POST","path":"/x/v1","route":"/x/"}`:                                                  "  BEGIN  POST /x/v1",
		`{"kind":"request","phase":"end","method":"POST","path":"/x/v1","route":"/x/","status":"200"}`:                                     "  ALLOW  POST /x/v1  200",
		`{"kind":"request","phase":"end","method":"GET","path":"/x/v1","route":"/x/","status":"401","code":"credential_rejected","reason":"the upstream answered 401"}`://
		"! ERROR  GET /x/v1  401  the upstream answered 401",
		`{"kind":"request","phase":"end","method":"DELETE","path":"/x/","route":"/x/","status":"405","refused":true}`:     "! DENY   DELETE /x/  405",
		`{"kind":"request","phase":"end","method":"GET","path":"/x/","status":"502","error":"broken off","aborted":true}`: "! ERROR  GET /x/  502  broken off  aborted",
		`{"kind":"request","phase":"reserve","route":"/x/","at_most":1000}`:                                               "  ALLOW  up to 1000 more requests on route /x/",
		`{"kind":"request","phase":"count","route":"/x/","count":7,"failed":2}`:                                           "  ALLOW  7 more requests on route /x/  2 failed",
		`{"kind":"request","phase":"count","refused":true,"count":7,"failed":7}`:                                          "! DENY   7 more requests on no route  7 failed",
		`{"kind":"credential","action":"missing","route":"/x/","reason":"it has two lines"}`:                              "! MISSING  token of route /x/  it has two lines",
		`{"kind":"proposal","action":"new","tool":"pipelock-block","reason":"waiting for a human"}`:                       "  NEW    pipelock-block  waiting for a human",
		`{"kind":"gap","from":"2026-01-02T03:04:05Z","to":"2026-01-02T03:04:06Z","dropped":{"egress":4,"request":1},"lost":2,"malformed":1,"why":"it was gone"}`://
		"! GAP    4 egress not recorded, 1 request not recorded, 2 lost, 1 malformed lines  it was gone  from ",
		`{"kind":"egress"}`: "         (not named)",
		`{"kind":"gap"}`:    "! GAP",
	} {
		var r audit.Record
		if err := json.Unmarshal([]byte(record), &r); err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSuffix(text([]Line{Decision(r)}), "\n")
		if r.Kind == audit.KindGap && r.Gap != nil {
			got = got[:min(len(got), len(want))] // the times are local
		}
		if got != want {
			t.Errorf("%s:\n%s", record, cmp.Diff(want, got))
		}
		if denied := strings.HasPrefix(want, "! DENY"); Denied(r) != denied {
			t.Errorf("%s: denied is %t", record, !denied)
		}
	}
}

// TestSidecarLine has what a sidecar, also one that was taken over, may log: it becomes one line.
func TestSidecarLine(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"warn","role":"pipelock","event":"egress","action":"deny","method":"GET","host":"a.test","port":80,"status":403,"run":"R","number":1}`: "! DENY   GET a.test:80  403",
		`{"level":"info","role":"pipelock","event":"config","cause":"start","time":"2026-01-02T03:04:05Z","message":"serving"}`:                          "  INF serving cause=start event=config",
		`{"level":"info","x\u001b[2J":"y\u202e","message":"a\nb"}`:                                                                                       `  INF a\nb x\x1b[2J="y\u202e"`,
		"no JSON\x1b[2J\tat all\r\n": `  no JSON\x1b[2J    at all`,
		"[1,2]":                      "  [1,2]",
		"":                           "",
	} {
		got := text([]Line{SidecarLine([]byte(line))})
		if fmt.Sprintln(want) != got {
			t.Errorf("%q (-want +got):\n%s", line, cmp.Diff(want+"\n", got))
		}
		if !printable.IsSafe([]byte(got)) {
			t.Errorf("%q steers a terminal", got)
		}
	}
}
