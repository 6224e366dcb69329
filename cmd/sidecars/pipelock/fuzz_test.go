package pipelock

import (
	"bufio"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzHost: whatever a client sends for a host is refused or has one form, which reads as itself again,
// is a plain name or a plain address, and is let through only by an entry that it matches.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"api.example.com", "API.example.com.", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:10.0.0.1]", "a@b", "a..b",
		"*.example.com", "b\u00fccher.example", "[fe80::1%25eth0]", "", ".", "[", "]", "[]", "a:b", "example.com%00.evil.test",
	} {
		f.Add(seed)
	}
	list, err := newAllowlist([]string{"api.example.com", "*.wild.test", "192.0.2.7"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		got, err := newTarget(host, "443")
		if err != nil {
			return
		}
		again := got.host
		if got.addr.Is6() {
			again = "[" + again + "]"
		}
		if second, err := newTarget(again, "443"); err != nil || second != got {
			t.Fatalf("%q became %q, which became %+v, %v", host, got.host, second, err)
		}
		if addr, err := netip.ParseAddr(got.host); (err == nil) != got.addr.IsValid() || addr != got.addr {
			t.Fatalf("%q became %q with address %v", host, got.host, got.addr)
		}
		if strings.ContainsAny(got.host, "@/\\?#%* \t\r\n\x00") || got.host != strings.ToLower(got.host) {
			t.Fatalf("%q became %q", host, got.host)
		}
		want := got.host == "api.example.com" || got.host == "wild.test" || got.host == "192.0.2.7" || strings.HasSuffix(got.host, ".wild.test")
		if known, open := list.allows(got, true); known != want || open != want {
			t.Fatalf("%q known: %t, open: %t", got.host, known, open)
		}
	})
}

// FuzzRequest: whatever a client writes for a request is refused, or goes to a host and port that stand in its
// request line.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"CONNECT api.example.com:443", "CONNECT [::1]:443", "CONNECT a@b:443", "GET http://api.example.com:8080/x?y", "GET http://a@b/", "GET http:a/b",
		"GET //api.example.com/", "CONNECT /x", "GET http://[::ffff:a.b]/", "GET http://api.example.com\\@evil.test/", "POST HTTP://API.EXAMPLE.COM.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: other.test\r\n\r\n")))
		if err != nil || r.Method != http.MethodConnect && !r.URL.IsAbs() {
			return
		}
		got, err := requestTarget(r)
		if err != nil {
			return
		}
		if got.port == 0 || got.host == "" || strings.ContainsAny(got.host, "@/\\?#%* \t\r\n\x00[]") {
			t.Fatalf("%q became %+v", line, got)
		}
		if !got.addr.IsValid() && !strings.Contains(strings.ToLower(r.RequestURI), got.host) {
			t.Fatalf("%q became %q", line, got.host)
		}
		if r.Method != http.MethodConnect && (r.URL.User != nil || r.URL.Scheme != "http") {
			t.Fatalf("%q was taken", line)
		}
	})
}
