package main

import (
	"errors"
	"os/exec"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/reconciler/enginetest"
	"github.com/bot-bottle/bottled/state"
)

// exhaust tries to take what the host and other bottles need.
func (b box) exhaust() {
	b.granted("an ordinary container", b.outsider(nil, "forks", "300"))
	b.granted("an ordinary container", b.outsider(nil, "memory", "400"))
	for _, part := range []state.Part{state.Agent, state.Pipelock, state.CredProxy, state.Supervise} {
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
func (b box) killedForMemory(part state.Part) {
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
	for _, rule := range [][]string{
		{"-I", "INPUT", "-s", b.e.Pool, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"},
		{"-I", "DOCKER-USER", "-s", b.e.Pool, "-d", "169.254.0.0/16", "-j", "DROP"},
	} {
		b.machine.Run("iptables", rule...)
	}
	b.run("closed by the documented firewall rules", func(b box) {
		b.denied("pipelock", b.attack(state.Pipelock, append([]string{"connect", metadata}, services...)...))
		b.granted("pipelock", someWay(b.attack(state.Pipelock, "connect", internet)))
		b.works()
	})
	b.run("datagrams of the others closed by them, too", func(b box) {
		b.machine.Sysctl("ipv4/conf/all/rp_filter", "0") // with which they arrive, without the rules
		targets := append(slices.Clone(services), "255.255.255.255:"+servicePort, "224.0.0.1:"+servicePort)
		for _, part := range []state.Part{state.Agent, state.CredProxy, state.Supervise} {
			if got := b.heard(part, "walled", targets); len(got) > 0 {
				b.Errorf("the host hears %q", got)
			}
		}
	})
}

// someWay has one attempt for each target: the one that got through, if any did.
func someWay(attempts []enginetest.Attempt) []enginetest.Attempt {
	best := map[string]enginetest.Attempt{}
	for _, a := range attempts {
		target, _, _ := strings.Cut(a.Name, " ")
		if had, ok := best[target]; !ok || !had.Granted {
			best[target] = a
		}
	}
	var found []enginetest.Attempt
	for _, a := range best {
		found = append(found, a)
	}
	slices.SortFunc(found, func(x, y enginetest.Attempt) int { return strings.Compare(x.Name, y.Name) })
	return found
}
