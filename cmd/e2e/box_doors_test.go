package e2e

import (
	"net"
	"net/netip"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// tryDoors asks the sidecars of bottle one from where nobody belongs to the bottle.
func (b box) tryDoors() {
	nobody := []string{"--network", "host", "--user", "65534:65534"}
	egress := net.JoinHostPort(b.address(state.Pipelock, "egress", "one"), "8888")
	inside := b.insideDoors()

	b.run("what belongs to the bottle is let in", func(b box) {
		b.granted("the agent", someWay(b.attack(state.Agent, append([]string{"ask"}, inside...)...)))
		b.works()
		b.control(nobody, "ask", net.JoinHostPort(b.gateway(), servicePort))
	})
	b.run("nobody on the host, through the egress address", func(b box) {
		b.denied("nobody on the host", b.outsider(nobody, append([]string{"ask", egress}, inside...)...))
	})
	b.run("a container on the egress network", func(b box) {
		options := []string{"--network", b.e.Network("egress", "one")}
		b.denied("the container", b.outsider(options, append([]string{"ask", egress}, inside...)...))
		b.control(options, "ask", net.JoinHostPort(b.gateway(), servicePort))
	})
	b.run("the internal address, over the egress network", func(b box) {
		internal := b.address(state.Pipelock, "net", "one")
		route := []string{"route", "add", internal + "/32", "via", b.address(state.Pipelock, "egress", "one")}
		b.machine.Run("ip", route...)
		route[1] = "del"
		defer b.machine.Run("ip", route...)
		b.denied("nobody on the host", b.outsider(nobody, "ask", net.JoinHostPort(internal, "8888")))
	})
	b.run("the agent, at the egress address", func(b box) {
		b.denied("the agent", b.attack(state.Agent, "ask", egress))
	})
	b.run("after the network was connected anew, with another address", func(b box) { b.reconnect(nobody) })
	b.run("2,048 clients with 66 KB of headers", box.floodPipelock)
}

// insideDoors are the sidecars' ports on the internal network of bottle one.
func (b box) insideDoors() []string {
	b.Helper()
	var doors []string
	for part, port := range map[state.ComponentName]string{state.Pipelock: "8888", state.CredProxy: "9099", state.Supervise: "9100"} {
		doors = append(doors, net.JoinHostPort(b.address(part, "net", "one"), port))
	}
	return doors
}

// reconnect gives the running pipelock another address on the internal network.
func (b box) reconnect(nobody []string) {
	network, pipelock := b.e.Network("net", "one"), b.e.Name(state.Pipelock, "one")
	before := b.address(state.Pipelock, "net", "one")
	last := netip.MustParseAddr(before).As4()
	last[3] = last[3]&^0xf | 12 // far from where the engine gives addresses
	b.e.Docker("network", "disconnect", network, pipelock)
	b.e.Docker("network", "connect", "--alias", "pipelock", "--ip", netip.AddrFrom4(last).String(), network, pipelock)
	if after := b.address(state.Pipelock, "net", "one"); after == before {
		b.Fatalf("its address is still %s", after)
	}
	b.granted("the agent", b.ask("GET http://api.demo.example/ HTTP/1.1\r\nHost: api.demo.example\r\n\r\n", "the API saw"))
	b.denied("nobody on the host", b.outsider(nobody, "ask", net.JoinHostPort(b.address(state.Pipelock, "egress", "one"), "8888")))
	// Connections that both keep hang at the address that is gone.
	b.e.Docker("rm", "--force", pipelock, b.e.Name(state.CredProxy, "one"))
	b.e.Reconcile(exitDone)
	b.works()
}

// floodPipelock is from the agent of bottle two, which has no limit of its own.
func (b box) floodPipelock() {
	pipelock := b.e.Name(state.Pipelock, "two")
	started := func() string {
		return b.e.Docker("inspect", "-f", "{{.State.StartedAt}} {{.State.OOMKilled}} {{.RestartCount}} {{.HostConfig.Memory}}", pipelock)
	}
	before := started()
	if !strings.HasSuffix(before, " 268435456") {
		b.Fatalf("pipelock's state and limit: %s", before)
	}
	for _, kind := range []string{"ended", "unended"} {
		flood := b.e.DockerCommand("exec", b.e.Name(state.Agent, "two"), "/attacker", "flood", "pipelock:8888", "2048", "67584", kind)
		var answers strings.Builder
		flood.Stdout, flood.Stderr = &answers, &answers
		if err := flood.Start(); err != nil {
			b.Fatal(err)
		}
		over := make(chan error, 1)
		go func() { over <- flood.Wait() }()
		served := 0
		for going := true; going; {
			select {
			case err := <-over:
				if going = false; err != nil {
					b.Errorf("the flood: %v\n%s", err, answers.String())
				}
			default:
				if out, code := b.e.Agent("two", "fetch", "http://cred-proxy:9099/api/"); code != 0 || !strings.Contains(out, "Bearer "+b.token) {
					b.Errorf("a client that behaves, after %d requests: exit code %d\n%s", served, code, out)
					going = false
				}
				served++
			}
		}
		b.Logf("%s headers: %d requests were served meanwhile; %s", kind, served, answers.String())
		if after := started(); after != before {
			b.Fatalf("pipelock was killed: %s, before %s", after, before)
		}
		if !strings.Contains(answers.String(), " 503 ") {
			b.Errorf("nobody was refused: %s", answers.String())
		}
	}
}
