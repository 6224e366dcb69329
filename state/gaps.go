package state

import "fmt"

// EngineInfo is what an engine tells of itself that matters for how well it keeps containers in (GET /info).
type EngineInfo struct {
	Version string
	Seccomp bool // it filters containers' system calls, as it does by default
	// Whether it enforces these limits.
	MemoryLimit, CPULimit, PidsLimit bool
}

// Gaps are what a bottle promises and this engine can't keep, with what closes each; docs/security.md explains them.
func Gaps(e EngineInfo, s Settings) []string {
	gaps := []string{fmt.Sprintf("no engine keeps a pipelock that was taken over from the services of this host: "+
		"have the host's firewall drop new connections from %s", s.Pool)}
	add := func(open bool, format string) {
		if open {
			gaps = append(gaps, fmt.Sprintf(format, e.Version))
		}
	}
	add(!e.Seccomp, "engine %s does not filter system calls: use one with seccomp, or a runtime like runsc, for agents that are not trusted")
	add(!e.MemoryLimit, "engine %s does not limit memory: give it the memory controller of cgroups")
	add(!e.CPULimit, "engine %s does not limit CPUs: give it the cpu controller of cgroups")
	add(!e.PidsLimit, "engine %s does not limit processes: give it the pids controller of cgroups")
	return gaps
}
