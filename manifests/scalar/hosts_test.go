package scalar

import (
	"net/netip"
	"testing"
)

func TestHostsTaken(t *testing.T) {
	private := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/64")}
	for _, entry := range []string{
		"api.github.com", "API.GITHUB.COM", "*.npmjs.org", "*.co.uk", "gitea", "a", "1password.com", "example.1com", "xn--bcher-kva.example", "a-b.c--d.example",
		"10.1.2.3", "fd12::1", "FD12:0:0::1", "supervise.example.com", "agent.local", "my-localhost",
		"git.example.com:8443", "*.example.com:1", "gitea:65535", "10.1.2.3:443", "[fd12::1]:8443", "[FD12:0::1]:1",
	} {
		if f := CheckAllowed(entry, private); f != nil {
			t.Errorf("%s: %v", entry, f)
		}
	}
}

// TestHostsRefused has what the table of bad inputs has no room for.
func TestHostsRefused(t *testing.T) {
	private := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for entry, fix := range map[string]string{
		"http://API.example.com:80/x?y#z":    `write "api.example.com"`,
		"*.example.com:":                     `write "*.example.com", or with a port behind the colon`,
		"a.example.com:0":                    `write "a.example.com", or with a port behind the colon`,
		"a.example.com:0443":                 `write "a.example.com", or with a port behind the colon`,
		"a.example.com:65536":                `write "a.example.com", or with a port behind the colon`,
		"a.example.com:https":                `write "a.example.com", or with a port behind the colon`,
		"[10.1.2.3]:443":                     "write an IPv6 address without brackets, or [ADDRESS]:PORT",
		"[fd12::1]":                          "write an IPv6 address without brackets, or [ADDRESS]:PORT",
		"[fd12::1]:0":                        "write an IPv6 address without brackets, or [ADDRESS]:PORT",
		"*.com:443":                          "name the domain too, like *.example.com",
		"10.2.2.3:443":                       "write the host's name, or add the address's range to spec.egress.privateCIDRs if it is private",
		"supervise:9100":                     "remove it: bottled adds the parts that the agent may reach",
		"//example.com":                      "write the host name alone, like api.github.com",
		"example.com/*":                      `write "example.com"`,
		"http://[::1":                        "write the host name alone, like api.github.com",
		"me:pw@x.example.com":                `write "x.example.com"`,
		"10.1.0.0x10":                        "write a host name, or a complete address",
		"10.2.2.3":                           "write the host's name, or add the address's range to spec.egress.privateCIDRs if it is private",
		"*.COM":                              "name the domain too, like *.example.com",
		"*.localhost":                        "name the domain too, like *.example.localhost",
		"*.a.localhost":                      "remove it: inside the agent, localhost is reached without the proxy",
		"a.0x":                               "write a host name, or a complete address",
		"a.08":                               "write a host name, or a complete address",
		"example.com\n":                      "use letters, digits and inner dashes between the dots",
		"example.com\t":                      "use letters, digits and inner dashes between the dots",
		"xn--\u00fc.example":                 "write an international name in its xn-- form, which can't be mistaken for another",
		"exa\u200bmple.com":                  "write an international name in its xn-- form, which can't be mistaken for another",
		"a.example.com,b.example.com":        "use letters, digits and inner dashes between the dots",
		"\u212aelvin.example" /* K of SI */ : "write an international name in its xn-- form, which can't be mistaken for another",
	} {
		f := CheckAllowed(entry, private)
		if f == nil {
			t.Errorf("%q is taken", entry)
		} else if f.Fix != fix {
			t.Errorf("%q: %s, want %s", entry, f.Fix, fix)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		entry, host string
		port        uint16
		covers      bool
	}{
		{"a.example", "a.example", 0, true},
		{"a.example:8443", "a.example", 8443, true},
		{"a.example", "b.a.example", 0, false},
		{"*.a.example", "a.example", 0, true},
		{"*.a.example:443", "c.b.a.example", 443, true},
		{"*.a.example", "ba.example", 0, false},
		{"*.0.0.7", "10.0.0.7", 0, false},
		{"fd12::1", "fd12::1", 0, true},
		{"[fd12::1]:8443", "fd12::1", 8443, true},
	} {
		name, port := SplitAllowed(test.entry)
		if covers := Covers(name, test.host); covers != test.covers || port != test.port {
			t.Errorf("%s and %s: %t, port %d", test.entry, test.host, covers, port)
		}
	}
}
