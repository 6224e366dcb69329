package state

import "fmt"

// EngineInfo is what an engine tells of itself that matters for how well it keeps containers in (GET /info).
type EngineInfo struct {
	Version string
	// Whether it enforces these limits.
	MemoryLimit, CPULimit, PidsLimit bool
}

// Gaps are what a bottle promises and this engine can't keep, with what closes each; docs/security.md explains them.
// filtered says that the host is known to drop packets whose senders it has no route back to.
func Gaps(e EngineInfo, filtered bool, s Settings) []string {
	gaps := []string{fmt.Sprintf("no engine keeps a pipelock that was taken over from the services of this host: "+
		"have the host's firewall drop new connections from %s", s.Pool)}
	add := func(open bool, format string) {
		if open {
			gaps = append(gaps, fmt.Sprintf(format, e.Version))
		}
	}
	if !filtered {
		gaps = append(gaps, "this host takes datagrams from agents, which it can't answer: have it filter by reverse path "+
			"(sysctl -w net.ipv4.conf.all.rp_filter=2), or drop them like those connections")
	}
	if image, builtin := s.image(Pipelock); !builtin {
		gaps = append(gaps, fmt.Sprintf("%s listens on every address, so every process on this host can use it, and through it the tokens: "+
			"drop connections from this host to port %d of %s, or use the built-in pipelock (docs/security.md#a-firewall)", image, PipelockPort, s.Pool))
	}
	add(!e.MemoryLimit, "engine %s does not limit memory: give it the memory controller of cgroups")
	add(!e.CPULimit, "engine %s does not limit CPUs: give it the cpu controller of cgroups")
	add(!e.PidsLimit, "engine %s does not limit processes: give it the pids controller of cgroups")
	return gaps
}
