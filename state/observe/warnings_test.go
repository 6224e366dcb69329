package observe

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

func TestGaps(t *testing.T) {
	whole := engine.Info{Version: "20.10.24", MemoryLimit: true, CPULimit: true, PidsLimit: true}
	always := Warnings(whole, true, warningSettings)
	if len(always) != 1 || !strings.Contains(always[0], warningSettings.Pool.String()) {
		t.Errorf("an engine that can do everything: %q", always)
	}
	if got := Warnings(whole, false, warningSettings); len(got) != 2 || !strings.Contains(got[1], "rp_filter=2") {
		t.Errorf("a host that filters nothing: %q", got)
	}
	official := warningSettings
	official.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
	if got := Warnings(whole, true, official); len(got) != 2 || !strings.Contains(got[1], "can use ghcr.io/luckypipewrench/pipelock:2.3.0") ||
		!strings.Contains(got[1], "port 8888 of "+warningSettings.Pool.String()) {
		t.Errorf("a pipelock of others: %q", got)
	}
	for want, miss := range map[string]func(*engine.Info){
		"engine 20.10.24 does not limit memory":    func(e *engine.Info) { e.MemoryLimit = false },
		"engine 20.10.24 does not limit CPUs":      func(e *engine.Info) { e.CPULimit = false },
		"engine 20.10.24 does not limit processes": func(e *engine.Info) { e.PidsLimit = false },
		"a rootless engine does not report":        func(e *engine.Info) { e.Users.Unknown = true },
		// A container that sends to this port forges frames of the Swarm's overlay networks.
		"containers can forge packets of this Swarm's overlay networks. Block them: iptables -t raw -I PREROUTING -s " +
			warningSettings.Pool.String() + " -p udp --dport 4789 -j DROP": func(e *engine.Info) { e.VXLANPort = 4789 },
	} {
		info := whole
		miss(&info)
		got := Warnings(info, true, warningSettings)
		if len(got) != 2 || !strings.HasPrefix(got[1], want) {
			t.Errorf("%s: %q", want, got)
		}
	}
}

var warningSettings = state.Settings{Pool: state.DefaultPool, BuiltinImage: "bottled:0123456789abcdef"}
