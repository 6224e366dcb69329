package pipelock

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// parseRequest reads a request as the server does.
func parseRequest(t *testing.T, line string) (*http.Request, error) {
	t.Helper()
	return http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: allowed.test\r\n\r\n")))
}

func requestTarget(r *http.Request) (target, error) {
	if r.Method == http.MethodConnect {
		return connectTarget(r)
	}
	return absoluteTarget(r.URL)
}

func TestTargetNormalised(t *testing.T) {
	for line, want := range map[string]string{
		"CONNECT api.example.com:443":                  "api.example.com:443",
		"CONNECT API.Example.COM:443":                  "api.example.com:443",
		"CONNECT api.example.com.:443":                 "api.example.com:443",
		"CONNECT api.example.com:0443":                 "api.example.com:443",
		"CONNECT under_score.example.com:8443":         "under_score.example.com:8443",
		"CONNECT cred-proxy:9099":                      "cred-proxy:9099",
		"CONNECT 192.0.2.1:443":                        "192.0.2.1:443",
		"CONNECT 192.0.2.1.:443":                       "192.0.2.1:443",
		"CONNECT [2001:DB8:0:0::1]:443":                "[2001:db8::1]:443",
		"CONNECT [::ffff:10.0.0.1]:443":                "10.0.0.1:443",
		"GET http://api.example.com":                   "api.example.com:80",
		"GET http://API.example.com./x?y=z":            "api.example.com:80",
		"GET http://cred-proxy:9099/anthropic/v1/m":    "cred-proxy:9099",
		"GET HTTP://api.example.com:8080/":             "api.example.com:8080",
		"GET http://[::1]/":                            "[::1]:80",
		"GET http://[::1]:8080/":                       "[::1]:8080",
		"GET http://xn--bcher-kva.example/":            "xn--bcher-kva.example:80",
		"GET http://1.example.com/":                    "1.example.com:80",
		"GET http://0x7f.example.com/":                 "0x7f.example.com:80",
		"GET http://api.example.com/@evil.example/":    "api.example.com:80",
		"GET http://api.example.com/http://evil.test/": "api.example.com:80",
		"GET http://api.example.com?x=@evil.example/":  "api.example.com:80",
	} {
		r, err := parseRequest(t, line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got, err := requestTarget(r); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", line, got, err, want)
		}
	}
}

// badTargets are request lines and the status that refuses them.
var badTargets = map[string]int{
	// Addresses in disguise.
	"CONNECT 2130706433:443":           http.StatusForbidden,
	"CONNECT 0x7f000001:443":           http.StatusForbidden,
	"CONNECT 0X7F000001:443":           http.StatusForbidden,
	"CONNECT 017700000001:443":         http.StatusForbidden,
	"CONNECT 0177.0.0.1:443":           http.StatusForbidden,
	"CONNECT 127.1:443":                http.StatusForbidden,
	"CONNECT 127.0.1:443":              http.StatusForbidden,
	"CONNECT 0x7f.1:443":               http.StatusForbidden,
	"CONNECT 127.0.0.0x1:443":          http.StatusForbidden,
	"CONNECT 127.0.0.01:443":           http.StatusForbidden,
	"CONNECT 127.0.0.256:443":          http.StatusForbidden,
	"CONNECT 1.2.3.4.5:443":            http.StatusForbidden,
	"CONNECT 0x:443":                   http.StatusForbidden,
	"CONNECT 0:443":                    http.StatusForbidden,
	"CONNECT 127.1.:443":               http.StatusForbidden,
	"GET http://2852039166/latest/":    http.StatusForbidden,
	"GET http://0251.0376.0251.0376/":  http.StatusForbidden,
	"GET http://api.example.com.0x1f/": http.StatusForbidden,
	// Addresses that are none.
	"CONNECT [127.0.0.1]:443":      http.StatusBadRequest,
	"CONNECT [::1%25eth0]:443":     http.StatusBadRequest,
	"CONNECT ::1:443":              http.StatusBadRequest,
	"CONNECT [::1]x:443":           http.StatusBadRequest,
	"GET http://[fe80::1%25eth0]/": http.StatusBadRequest,
	// Ports.
	"CONNECT api.example.com":           http.StatusBadRequest,
	"CONNECT api.example.com:":          http.StatusBadRequest,
	"CONNECT api.example.com:0":         http.StatusBadRequest,
	"CONNECT api.example.com:65536":     http.StatusBadRequest,
	"CONNECT api.example.com:+443":      http.StatusBadRequest,
	"CONNECT api.example.com:https":     http.StatusBadRequest,
	"CONNECT api.example.com:443:443":   http.StatusBadRequest,
	"GET http://api.example.com:/":      http.StatusBadRequest,
	"GET http://api.example.com:99999/": http.StatusBadRequest,
	"CONNECT :443":                      http.StatusBadRequest,
	// Names that are none.
	"CONNECT .:443":                                    http.StatusBadRequest,
	"CONNECT api..example.com:443":                     http.StatusBadRequest,
	"CONNECT api.example.com..:443":                    http.StatusBadRequest,
	"CONNECT .example.com:443":                         http.StatusBadRequest,
	"CONNECT *.example.com:443":                        http.StatusBadRequest,
	"CONNECT b\u00fccher.example:443":                  http.StatusBadRequest,
	"CONNECT example\u3002com:443":                     http.StatusBadRequest,
	"CONNECT \u2460.example.com:443":                   http.StatusBadRequest,
	"CONNECT " + strings.Repeat("a", 64) + ".test:443": http.StatusBadRequest,
	"CONNECT " + strings.Repeat("a.", 127) + "com:443": http.StatusBadRequest,
	"GET http://b%c3%bccher.example/":                  http.StatusBadRequest,
	// Something before, after or instead of the host.
	"CONNECT user@api.example.com:443":          http.StatusBadRequest,
	"CONNECT user:pw@api.example.com:443":       http.StatusBadRequest,
	"CONNECT api.example.com:443@evil.test:443": http.StatusBadRequest,
	"CONNECT api.example.com:443/path":          http.StatusBadRequest,
	"CONNECT api.example.com:443?x":             http.StatusBadRequest,
	"CONNECT /api.example.com:443":              http.StatusBadRequest,
	"CONNECT http://api.example.com:443":        http.StatusBadRequest,
	"GET http://user@api.example.com/":          http.StatusBadRequest,
	"GET http://user:pw@api.example.com/":       http.StatusBadRequest,
	"GET http://api.example.com@evil.test/":     http.StatusBadRequest,
	"GET http:///path":                          http.StatusBadRequest,
	"GET http:api.example.com":                  http.StatusBadRequest,
	"GET https://api.example.com/":              http.StatusBadRequest,
	"GET ftp://api.example.com/":                http.StatusBadRequest,
	"GET file:///etc/passwd":                    http.StatusBadRequest,
}

func TestTargetRefused(t *testing.T) {
	for line, status := range badTargets {
		r, err := parseRequest(t, line)
		if err != nil {
			continue // the server answers 400 to what it can't parse
		}
		got, err := requestTarget(r)
		var refused *refusal
		if !errors.As(err, &refused) || refused.status != status {
			t.Errorf("%s: got %s, %v; want a refusal with %d", line, got, err, status)
		}
	}
}

// TestTargetUnparsable holds the lines that net/http itself must refuse; if it ever accepts them, they
// need their own rule.
func TestTargetUnparsable(t *testing.T) {
	for _, line := range []string{
		"GET http://api.example.com\\@evil.test/",
		"GET http://api.example.com#@evil.test/",
		"GET http://api.example.com%2f@evil.test/",
		"GET http://ex%61mple.com/",
		"GET http://api.example.com:80a/",
		"GET http://[::1/",
		"GET http://api.example.com:80:80/",
		"GET http://api example.com/",
		"GET http://api.example.com/\x00",
	} {
		r, err := parseRequest(t, line)
		if err != nil {
			continue
		}
		if got, err := requestTarget(r); err == nil {
			t.Errorf("%s was read as %s", line, got)
		}
	}
}
