package source

import (
	"strings"
	"testing"
)

// A port that others than this host's users reach is a warning, at its own place.
func TestPortsOfAllAddresses(t *testing.T) {
	snapshot, err := Load("../testdata/good/ports.yaml")
	if err != nil || len(snapshot.Problems) > 0 {
		t.Fatal(snapshot.Problems, err)
	}
	var got strings.Builder
	for _, w := range snapshot.Warnings {
		got.WriteString(strings.TrimPrefix(w.Error(), "../testdata/good/") + "\n")
	}
	const fix = "listen on 127.0.0.1:80 and use ssh -L, or protect the port by a firewall"
	const want = `ports.yaml:33:31: spec.agent.ports[0].host: everybody who can reach 0.0.0.0:80 reaches the agent, without a password; ` + fix + `
ports.yaml:34:31: spec.agent.ports[1].host: everybody who can reach [::]:80 reaches the agent, without a password; ` + fix + "\n"
	if got.String() != want {
		t.Errorf("%s, want\n%s", got.String(), want)
	}
	hosts := map[string]bool{}
	for _, b := range snapshot.Bottles {
		for _, p := range b.ListensOn() {
			hosts[p.Host] = true
		}
	}
	for _, host := range []string{"127.0.0.1:3000", "[::1]:3000"} { // a default, and another spelling
		if !hosts[host] {
			t.Errorf("nothing listens on %s: %v", host, hosts)
		}
	}
}
