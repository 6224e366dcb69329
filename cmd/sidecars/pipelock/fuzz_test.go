package pipelock

import (
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
		if list.allows(got) != want {
			t.Fatalf("%q allowed: %t", got.host, !want)
		}
	})
}
