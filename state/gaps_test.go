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
	if got := Gaps(whole, true, official); len(got) != 2 || !strings.Contains(got[1], "pipelock:2.3.0 listens on every address") ||
		!strings.Contains(got[1], "port 8888 of "+testSettings.Pool.String()) {
		t.Errorf("a pipelock of others: %q", got)
	}
	for want, miss := range map[string]func(*EngineInfo){
		"does not limit memory":    func(e *EngineInfo) { e.MemoryLimit = false },
		"does not limit CPUs":      func(e *EngineInfo) { e.CPULimit = false },
		"does not limit processes": func(e *EngineInfo) { e.PidsLimit = false },
	} {
		info := whole
		miss(&info)
		got := Gaps(info, true, testSettings)
		if len(got) != 2 || !strings.HasPrefix(got[1], "engine 20.10.24 "+want) {
			t.Errorf("%s: %q", want, got)
		}
	}
}
