package pipelock

import (
	"bytes"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestLoad(t *testing.T) {
	p := newProxy(zerolog.Nop(), netip.Prefix{})
	path := t.TempDir() + "/pipelock.yaml"
	write := func(config []byte) {
		t.Helper()
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := []byte(settings([]string{"a.test"}, ""))
	write(good)
	first, err := p.load(path)
	if err != nil || first.Digest == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := p.load(path); err != nil || again.Digest != first.Digest {
		t.Errorf("unchanged: %+v, %v", again, err)
	}
	inForce := p.policy.Load()
	write(append(bytes.Repeat([]byte("#\n"), configBytes/2), good...))
	if _, err := p.load(path); err == nil {
		t.Error("an oversize file was accepted")
	}
	write([]byte("mode: strict"))
	if _, err := p.load(path); err == nil {
		t.Error("a bad file was accepted")
	}
	if p.policy.Load() != inForce {
		t.Error("a failed load changed the policy")
	}
	write([]byte(settings([]string{"b.test"}, "")))
	if next, err := p.load(path); err != nil || next.Digest == first.Digest {
		t.Errorf("changed: %+v, %v", next, err)
	}
}

// The bounds that a file leaves out are the official program's.
func TestPolicyDefaults(t *testing.T) {
	p, err := newPolicy([]byte("mode: strict\napi_allowlist: [a.test]\nforward_proxy: {enabled: true}\n"), netip.Prefix{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.tunnelTime != 300*time.Second || p.idleTime != 120*time.Second || p.exchangeTime != 30*time.Second || p.urlBytes != 2048 || p.explain || len(p.ranges) != 0 {
		t.Errorf("%+v", p)
	}
	p, err = newPolicy([]byte("mode: strict\napi_allowlist: [a.test]\nforward_proxy: {enabled: true, max_tunnel_seconds: 9223372036854775807, idle_timeout_seconds: -1}\n"), netip.Prefix{}, nil)
	if err != nil || p.tunnelTime <= 0 || p.idleTime != 120*time.Second {
		t.Errorf("%+v, %v", p, err)
	}
}
