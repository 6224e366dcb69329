package state

import (
	"strings"
	"testing"
)

func TestGaps(t *testing.T) {
	whole := EngineInfo{Version: "20.10.24", MemoryLimit: true, CPULimit: true, PidsLimit: true}
	always := Gaps(whole, true, testSettings)
	if len(always) != 1 || !strings.Contains(always[0], testSettings.Pool.String()) {
		t.Errorf("an engine that can do everything: %q", always)
	}
	if got := Gaps(whole, false, testSettings); len(got) != 2 || !strings.Contains(got[1], "rp_filter=2") {
		t.Errorf("a host that filters nothing: %q", got)
	}
	official := testSettings
	official.PipelockImage = "ghcr.io/luckypipewrench/pipelock:2.3.0"
	if got := Gaps(whole, true, official); len(got) != 2 || !strings.Contains(got[1], "can use ghcr.io/luckypipewrench/pipelock:2.3.0") ||
		!strings.Contains(got[1], "port 8888 of "+testSettings.Pool.String()) {
		t.Errorf("a pipelock of others: %q", got)
	}
	for want, miss := range map[string]func(*EngineInfo){
		"engine 20.10.24 does not limit memory":    func(e *EngineInfo) { e.MemoryLimit = false },
		"engine 20.10.24 does not limit CPUs":      func(e *EngineInfo) { e.CPULimit = false },
		"engine 20.10.24 does not limit processes": func(e *EngineInfo) { e.PidsLimit = false },
		"a rootless engine does not report":        func(e *EngineInfo) { e.Users.Unknown = true },
		// A container that sends to this port forges frames of the Swarm's overlay networks.
		"containers can forge packets of this Swarm's overlay networks. Block them: iptables -t raw -I PREROUTING -s " +
			testSettings.Pool.String() + " -p udp --dport 4789 -j DROP": func(e *EngineInfo) { e.VXLANPort = 4789 },
	} {
		info := whole
		miss(&info)
		got := Gaps(info, true, testSettings)
		if len(got) != 2 || !strings.HasPrefix(got[1], want) {
			t.Errorf("%s: %q", want, got)
		}
	}
}
