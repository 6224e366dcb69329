package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// TestHostEnds: when the time of a host is over, its open tunnels end, new ones are refused, and no container is replaced.
func TestHostEnds(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	prepareCerts(t, e)
	until := time.Now().UTC().Add(time.Hour)
	write := func() {
		m := trafficManifest(e, fmt.Sprintf("{host: docs.demo.example, until: %s}", until.Format(time.RFC3339Nano)))
		e.Write("one.yaml", strings.Replace(m, "env: {GREETING: hello}",
			"env: {SSL_CERT_FILE: /certs/ca.pem}\n    mounts: [{source: ./certs/ca.pem, target: /certs/ca.pem, readOnly: true}]", 1))
	}
	write()
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	startUpstream(t, e)
	ids := owned(e)
	tunnel, plain := streaming(t, e, "https://docs.demo.example/stream"), streaming(t, e, "http://docs.demo.example/stream")
	other := streaming(t, e, "http://cred-proxy:9099/api/stream")

	until = time.Now().UTC().Add(6 * time.Second)
	write()
	tunnel.flows(e)
	tunnel.ends(1)
	if late := time.Since(until); late < 0 || late > 3*time.Second {
		t.Errorf("the tunnel ended %s after the host", late)
	} else {
		t.Logf("the tunnel ended %s after the host", late)
	}
	plain.ends(1)
	other.flows(e)
	for _, url := range []string{"https://docs.demo.example/", "http://docs.demo.example/"} {
		if out, code := e.Agent("one", "fetch", url); code == 0 {
			t.Errorf("%s is still reached:\n%s", url, out)
		}
	}
	e.Eventually(wellWithin, "the audit log says what was revoked and refused", func() (bool, string) {
		r := e.Bottled("traffic", "--denied", "-o", "json", "one")
		return strings.Count(r.Stdout, `"revoked: domain not in allowlist: docs.demo.example"`) == 2 && strings.Count(r.Stdout, `"host_not_allowed"`) >= 2, r.Stdout + r.Stderr
	})
	settledReady(t, e, "one")
	if now := owned(e); now != ids {
		t.Errorf("other containers than before: %s, then %s", ids, now)
	}
	if d := e.Expect(exitDone, "describe", "one").Stdout; !strings.Contains(d, "docs.demo.example, ended "+until.Format(time.RFC3339)) {
		t.Errorf("described:\n%s", d)
	}
	e.Expect(exitDifferences, "check", "one", "https://docs.demo.example/")
	if r := e.Expect(exitDone, "validate", e.Manifests); !strings.Contains(r.Stderr, "has ended; remove it") {
		t.Errorf("validated:\n%s", r.Stderr)
	}
}
