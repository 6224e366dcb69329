package pipelock

import (
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
		if got := list.allows(mustTarget(t, host)); got != want {
			t.Errorf("%s allowed: %t, want %t", host, got, want)
		}
	}
}

// An address is no name below another: "*.2.7" can't stand for 192.0.2.7.
func TestAllowlistRefusesEntries(t *testing.T) {
	for _, entry := range []string{
		"", "*", "*.", ".", "*.*.example.com", "a.*.example.com", "*example.com", "https://example.com", "example.com/",
		"example.com:443", "*.192.0.2.7", "*.2.7", "127.1", "0x7f000001", "fe80::1%eth0", "a b", "exa\u00dfmple.com",
	} {
		if _, err := newAllowlist([]string{"ok.test", entry}); err == nil {
			t.Errorf("%q was accepted", entry)
		}
	}
	if _, err := newAllowlist(nil); err == nil {
		t.Error("an empty allowlist was accepted")
	}
}
