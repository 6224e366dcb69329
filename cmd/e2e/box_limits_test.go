package e2e

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// exhaust tries to take what the host and other bottles need.
func (b box) exhaust() {
	b.granted("an ordinary container", b.outsider(nil, "forks", "300"))
	b.granted("an ordinary container", b.outsider(nil, "memory", "400"))
	for _, part := range []state.ComponentName{state.Agent, state.Pipelock, state.CredProxy, state.Supervise, state.Ingress} {
		b.run("process IDs, by "+string(part), func(b box) {
			for _, a := range b.attack(part, "forks", "300") {
				if a.Granted || a.Error != "EAGAIN" {
					b.Errorf("not stopped by its limit: %+v", a)
				}
			}
		})
		b.run("memory, by "+string(part), func(b box) { b.killedForMemory(part) })
	}
	b.run("process IDs, by an agent that declares no limit", func(b box) {
		if got := b.e.Docker("inspect", "-f", "{{.HostConfig.PidsLimit}}", b.e.Name(state.Agent, "two")); got != "2048" {
			b.Errorf("its limit is %s", got)
		}
	})
	b.run("memory of the host, before others", func(b box) {
		if got := b.e.Docker("exec", b.e.Name(state.Agent, "two"), "/attacker", "show", "/proc/self/oom_score_adj"); !strings.Contains(got, "1000") {
			b.Errorf("the agent's processes have the OOM score %s", got)
		}
	})
	b.works()
}

// killedForMemory: the process that takes too much is killed, and nothing else.
func (b box) killedForMemory(part state.ComponentName) {
	b.Helper()
	out, err := b.e.DockerCommand("exec", b.e.Name(part, "one"), "/attacker", "memory", "400").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 137 {
		b.Errorf("%s takes 400 MiB: %v\n%s", part, err, out)
	}
}

// takeOverPipelock shows what is open to whoever takes over pipelock, the one part that is connected to the world: any
// address, the host's among them, by the engine's own design. The firewall rules of docs/security.md close it.
func (b box) takeOverPipelock() {
	services := b.hostServices()
	services = services[:len(services)-1]
	metadata, internet := metadataAddress+":80", internetAddress+":"+servicePort
	b.run("open without a firewall", func(b box) {
		b.granted("pipelock", someWay(b.attack(state.Pipelock, append([]string{"connect", metadata, internet}, services...)...)))
	})
	b.forgeOverlay("open", true)
	walls := documentedFirewalls(b.T, b.e.Pool)
	for _, wall := range []struct{ name, rules, removed string }{
		{"nftables", walls[1], "nft delete table ip bottled"},
		{"iptables", walls[0], "true"},
	} {
		b.run("closed by the documented rules of "+wall.name, func(b box) {
			if _, err := exec.LookPath("nft"); wall.name == "nftables" && err != nil {
				b.Skip("no nft here: the rules of iptables are tried")
			}
			b.machine.Run("sh", "-c", wall.rules)
			b.denied("pipelock", b.attack(state.Pipelock, append([]string{"connect", metadata}, services...)...))
			b.granted("pipelock", someWay(b.attack(state.Pipelock, "connect", internet)))
			b.works()
			b.forgeOverlay(wall.name, false)
			b.machine.Sysctl("ipv4/conf/all/rp_filter", "0") // with which datagrams arrive, without the rules
			targets := append(slices.Clone(services), "255.255.255.255:"+servicePort, "224.0.0.1:"+servicePort)
			for _, part := range []state.ComponentName{state.Agent, state.CredProxy, state.Supervise, state.Ingress} {
				if got := b.heard(part, wall.name, targets); len(got) > 0 {
					b.Errorf("the host hears %q", got)
				}
			}
			b.machine.Run("sh", "-c", wall.removed)
		})
	}
	b.run("forged overlay frames, on a member of a Swarm", func(b box) {
		b.e.Docker("swarm", "init", "--advertise-addr", "192.0.2.1")
		if out := b.e.Expect(exitDone, "status", "-o", "json").Stdout; !strings.Contains(out, "--dport "+overlayPort) {
			b.Errorf("status does not warn:\n%s", out)
		}
	})
}

// forgeOverlay has pipelock send to another host's port of a Swarm's overlay networks, which takes frames from anybody.
func (b box) forgeOverlay(mark string, arrives bool) {
	b.Helper()
	target := internetAddress + ":" + overlayPort
	b.attack(state.Pipelock, "send", "overlay-"+mark, target)
	b.outsider(nil, "send", "after-overlay-"+mark, target) // later than the other, so when this one is there, it is
	b.e.Eventually(wellWithin, "the control's datagram arrives", func() (bool, string) {
		return len(b.overlay.with("after-overlay-"+mark)) > 0, "it has not"
	})
	heard := slices.DeleteFunc(b.overlay.with("overlay-"+mark), func(d string) bool { return strings.HasPrefix(d, "after-") })
	if (len(heard) > 0) != arrives {
		b.Errorf("the Swarm's port hears %q of a compromised pipelock (%s)", heard, mark)
	}
}

// documentedFirewalls are the commands that docs/security.md shows, for another pool: of iptables, and of nftables.
func documentedFirewalls(t *testing.T, pool string) []string {
	t.Helper()
	data, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "\n### Firewall\n")
	section, _, _ = strings.Cut(section, "\n### ")
	var blocks []string
	for i, block := range strings.Split(section, "```") {
		if rules, ok := strings.CutPrefix(block, "sh\n"); ok && i%2 == 1 {
			blocks = append(blocks, strings.ReplaceAll(rules, "10.213.0.0/16", pool))
		}
	}
	if len(blocks) != 2 || !strings.Contains(blocks[0], "iptables") || !strings.Contains(blocks[1], "nft") {
		t.Fatalf("the firewall's rules in docs/security.md: %q", blocks)
	}
	return blocks
}

// someWay has one attempt for each target: the one that got through, if any did.
func someWay(attempts []harness.Attempt) []harness.Attempt {
	best := map[string]harness.Attempt{}
	for _, a := range attempts {
		target, _, _ := strings.Cut(a.Name, " ")
		if had, ok := best[target]; !ok || !had.Granted {
			best[target] = a
		}
	}
	var found []harness.Attempt
	for _, a := range best {
		found = append(found, a)
	}
	slices.SortFunc(found, func(x, y harness.Attempt) int { return strings.Compare(x.Name, y.Name) })
	return found
}
