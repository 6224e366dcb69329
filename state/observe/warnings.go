package observe

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Warnings lists the isolation guarantees that this engine or host does not enforce, each with its remedy; docs/security.md explains
// them. filtered is whether the host's reverse-path filter is on.
func Warnings(e engine.Info, filtered bool, s state.Settings) []string {
	warnings := []string{fmt.Sprintf("a compromised pipelock could reach services on this host. Block new connections from %s: "+
		"docs/security.md#firewall", s.Pool)}
	add := func(unenforced bool, format string, args ...any) {
		if unenforced {
			warnings = append(warnings, fmt.Sprintf(format, args...))
		}
	}
	add(!filtered, "agents can send one-way UDP packets to this host. Turn on reverse-path filtering: sysctl -w net.ipv4.conf.all.rp_filter=2")
	image, builtin := s.Image(state.Pipelock)
	add(!builtin, "every process on this host can use %s, and through it the tokens: it listens on every address. Block connections "+
		"from this host to port %d of %s, or use the built-in pipelock (docs/security.md#firewall)", image, contract.Pipelock.Port, s.Pool)
	add(e.VXLANPort != 0, "containers can forge packets of this Swarm's overlay networks. Block them: "+
		"iptables -t raw -I PREROUTING -s %s -p udp --dport %d -j DROP (docs/security.md#firewall)", s.Pool, e.VXLANPort)
	add(e.Users.Unknown, "%v", engine.ErrUnknownMapping)
	const limit = "engine %s does not limit %s. Enable the cgroup controller %s"
	add(!e.MemoryLimit, limit, e.Version, "memory", "memory")
	add(!e.CPULimit, limit, e.Version, "CPUs", "cpu")
	add(!e.PidsLimit, limit, e.Version, "processes", "pids")
	return warnings
}
