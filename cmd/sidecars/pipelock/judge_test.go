package pipelock

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock/dlp"
)

// judged are URLs, and the entry by which they are allowed; "" for those that are refused.
var judged = map[string]string{
	"https://a.test/x":        "a.test",
	"https://a.test:443":      "a.test",
	"https://a.test:8443":     "",
	"http://a.test:8443/":     "a.test",
	"https://A.TEST./":        "a.test",
	"https://port.test:8443/": "port.test:8443",
	"https://port.test/":      "",
	"https://x.wild.test/":    "*.wild.test",
	"https://wild.test/":      "*.wild.test",
	"https://aGVsbG8gd29ybGQgdGhpcyBpcyBzZWNyZXQK0123456789abcdef.wild.test/": "",
	"https://notwild.test/":    "",
	"wss://a.test/":            "a.test",
	"ws://a.test/":             "",
	"http://user:pass@a.test/": "",
	"http://a.test/?t=ghp_0123456789abcdefghijABCDEFGHIJ012345": "",
	"http://a.test/" + strings.Repeat("x", 3000):                "",
	"http://127.0.0.1/":            "127.0.0.1",
	"https://127.0.0.1/":           "127.0.0.1",
	"http://10.0.0.1/":             "",
	"http://[fd00:ec2::254]/":      "",
	"https://[fd00:ec2::254]/":     "",
	"http://" + inOwnNetwork + "/": "",
	"http://2130706433/":           "",
	"https://other.test/":          "",
}

// TestJudge compares the judge's verdicts with what a proxy of the same configuration answers.
func TestJudge(t *testing.T) {
	config := settings([]string{"a.test", "port.test:8443", "*.wild.test", "127.0.0.1", "10.0.0.1", "fd00:ec2::254", inOwnNetwork}, "request_body_scanning: {enabled: true, action: block}\n")
	p := startProxy(t, config, nil) // no name resolves, so what is allowed fails with 502
	judge, err := NewJudge([]byte(config), ownNetwork)
	if err != nil {
		t.Fatal(err)
	}
	for text, entry := range judged {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := judge.Judge(http.MethodGet, u)
		if err != nil || v.Entry != entry || (v.Refusal == "") != (entry != "") || (v.Code == "") != (entry != "") {
			t.Errorf("%s: %+v, %v, want the entry %q", text, v, err, entry)
			continue
		}
		status, answer := p.askFor(u)
		if blocked := strings.TrimPrefix(strings.TrimPrefix(answer, "CONNECT "), "blocked: "); v.Refusal != "" && blocked != v.Refusal {
			t.Errorf("%s: the proxy answers %d %q, the judge says %q", text, status, answer, v.Refusal)
		}
		if v.Refusal == "" && status != http.StatusBadGateway {
			t.Errorf("%s: the proxy answers %d %q, the judge allows it", text, status, answer)
		}
	}
}

// askFor sends what a client would send for a URL, and returns the answer.
func (p *testProxy) askFor(u *url.URL) (status int, text string) {
	p.t.Helper()
	r, err := request(http.MethodGet, u)
	if err != nil {
		p.t.Fatal(err)
	}
	upgrade := ""
	if value := r.Header.Get("Upgrade"); value != "" {
		upgrade = "Upgrade: " + value + "\r\n"
	}
	resp := p.ask(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n", r.Method, r.RequestURI, u.Host, upgrade))
	return resp.StatusCode, strings.TrimSpace(body(p.t, resp))
}

func TestJudgeWarns(t *testing.T) {
	judge, err := NewJudge([]byte(settings([]string{"a.test"}, "request_body_scanning: {enabled: true, action: warn}\n")), ownNetwork)
	if err != nil {
		t.Fatal(err)
	}
	v, err := judge.Judge(http.MethodGet, &url.URL{Scheme: "http", Host: "a.test", RawQuery: "t=ghp_0123456789abcdefghijABCDEFGHIJ012345"})
	if want := dlp.Reason("request URL", "github-pat"); err != nil || v.Entry != "a.test" || v.Warning != want {
		t.Errorf("%+v, %v, want %q", v, err, want)
	}
	for _, u := range []url.URL{{Scheme: "ssh", Host: "a.test"}, {Scheme: "http", Host: "a b"}} {
		if v, err := judge.Judge(http.MethodGet, &u); err == nil {
			t.Errorf("%s: %+v", &u, v)
		}
	}
	if _, err := NewJudge([]byte("mode: strict\n"), ownNetwork); err == nil {
		t.Error("a configuration without an allowlist is accepted")
	}
}
