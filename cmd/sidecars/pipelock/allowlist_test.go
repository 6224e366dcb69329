package pipelock

import (
	"slices"
	"strings"
	"testing"
)

func mustTarget(t *testing.T, host string) target {
	t.Helper()
	got, err := newTarget(host, "443")
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	return got
}

// The wanted answers are the official pipelock 2.3.0's.
func TestAllowlist(t *testing.T) {
	list, err := newAllowlist([]string{
		"api.example.com", "*.wild.test", "MixedCase.Test.", "*.Deep.Wild.Example.", "cred-proxy",
		"192.0.2.7", "2001:DB8::7", "xn--bcher-kva.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"api.example.com":            true,
		"API.EXAMPLE.COM":            true,
		"api.example.com.":           true,
		"example.com":                false,
		"x.api.example.com":          false,
		"xapi.example.com":           false,
		"api.example.com.evil.test":  false,
		"api.example.comx":           false,
		"wild.test":                  true, // a wildcard matches the name itself
		"a.wild.test":                true,
		"a.b.wild.test":              true,
		"A.WILD.TEST.":               true,
		"evilwild.test":              false,
		"wild.test.evil.example":     false,
		"mixedcase.test":             true,
		"x.mixedcase.test":           false,
		"deep.wild.example":          true,
		"a.deep.wild.example":        true,
		"wild.example":               false,
		"cred-proxy":                 true,
		"cred-proxy.":                true,
		"cred-proxy.evil.test":       false,
		"192.0.2.7":                  true,
		"192.0.2.8":                  false,
		"[2001:db8:0::7]":            true,
		"[2001:db8::8]":              false,
		"[::ffff:192.0.2.7]":         true,
		"1.192.0.2.7.wild.test":      true,
		"xn--bcher-kva.example":      true,
		"sub.xn--bcher-kva.example":  false,
		"nothing-is-allowed.invalid": false,
	} {
		if known, open := list.allows(mustTarget(t, host), true); known != want || open != want {
			t.Errorf("%s known: %t, open: %t, want %t", host, known, open, want)
		}
	}
}

// TestAllowlistPorts: an entry without a port opens 443 to tunnels and any port to plain HTTP, one with a port
// that port to both.
func TestAllowlistPorts(t *testing.T) {
	list, err := newAllowlist([]string{
		"plain.test", "both.test", "both.test:8443", "port.test:8443", "port.test:22", "*.wild.test:8443", "*.deep.wild.test",
		"192.0.2.7:8443", "[2001:db8::7]:8443", "2001:db8::8",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, tunnels, plain string }{
		{"plain.test", "443", "80 443 8443 22"},
		{"both.test", "443 8443", "80 443 8443 22"},
		{"port.test", "8443 22", "8443 22"},
		{"x.port.test", "", ""},
		{"wild.test", "8443", "8443"},
		{"a.b.wild.test", "8443", "8443"},
		{"x.deep.wild.test", "443 8443", "80 443 8443 22"},
		{"192.0.2.7", "8443", "8443"},
		{"[2001:db8::7]", "8443", "8443"},
		{"[2001:db8::8]", "443", "80 443 8443 22"},
		{"other.test", "", ""},
	} {
		for _, port := range []string{"80", "443", "8443", "22"} {
			target, err := newTarget(c.host, port)
			if err != nil {
				t.Fatal(err)
			}
			for tunnel, ports := range map[bool]string{true: c.tunnels, false: c.plain} {
				known, open := list.allows(target, tunnel)
				if want := slices.Contains(strings.Fields(ports), port); open != want || known != (c.plain != "") {
					t.Errorf("%s, tunnel %t: known %t, open %t, want %t", target, tunnel, known, open, want)
				}
			}
		}
	}
}

// An address is no name below another: "*.2.7" can't stand for 192.0.2.7.
func TestAllowlistRefusesEntries(t *testing.T) {
	for _, entry := range []string{
		"", "*", "*.", ".", "*.*.example.com", "a.*.example.com", "*example.com", "https://example.com", "example.com/",
		"example.com:", "example.com:0", "example.com:65536", "example.com:x", "[::1]:", "[127.0.0.1]:443", "*.192.0.2.7", "*.2.7", "127.1", "0x7f000001", "fe80::1%eth0", "a b", "exa\u00dfmple.com",
	} {
		if _, err := newAllowlist([]string{"ok.test", entry}); err == nil {
			t.Errorf("%q was accepted", entry)
		}
	}
	if _, err := newAllowlist(nil); err == nil {
		t.Error("an empty allowlist was accepted")
	}
}
