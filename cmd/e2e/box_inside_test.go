package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

func (b box) attackFromAgent() {
	b.attackNetwork(state.Agent)
	b.attackOtherBottle(state.Agent)
	b.attackKernel(state.Agent)
	b.readToken(state.Agent)
	b.run("write its own current-config", func(b box) {
		const dir = "/etc/claude-bottle/current-config/"
		files := []string{dir + "routes.json", dir + "allowlist", dir + "Dockerfile"}
		b.denied("the agent", b.attack(state.Agent, append([]string{"overwrite"}, files...)...))
		b.denied("the agent", b.attack(state.Agent, append([]string{"alter"}, files...)...))
		b.control(nil, "overwrite", "/bottled-demo")
		b.control(nil, "alter", "/bottled-demo")
	})
	b.run("root through a set-user-ID file", func(b box) {
		b.denied("the agent", b.e.AttackAs("65532:65532", b.e.Name(state.Agent, "one"), "/tools/setuid", "setuid"))
		b.control([]string{"--user", "65532:65532", "-v", b.tools + ":/tools:ro", "--entrypoint", "/tools/setuid"}, "setuid")
	})
	b.run("the engine's socket", func(b box) {
		b.denied("the agent", b.attack(state.Agent, "sockets-at", "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"))
		socket := strings.TrimPrefix(b.e.Client.DaemonHost(), "unix://")
		b.control([]string{"-v", socket + ":/var/run/docker.sock"}, "sockets-at", "/var/run/docker.sock")
	})
}

// attackFromService is a service that was taken over: it reaches what the agent reaches, and nothing leads it to more.
func (b box) attackFromService() {
	b.attackNetwork(boxService)
	b.attackOtherBottle(boxService)
	b.attackKernel(boxService)
	b.readToken(boxService)
	b.run("the agent reaches it by its name", func(b box) {
		b.granted("the agent", b.attack(state.Agent, "connect", "db:5432"))
		b.granted("the agent", b.attack(state.Agent, "resolve", "db"))
	})
	b.run("no proxy is given to it", func(b box) {
		if env, _ := b.e.Exec(b.e.Name(boxService, "one"), "env"); strings.Contains(strings.ToLower(env), "proxy") {
			b.Errorf("its environment:\n%s", env)
		}
	})
}

func (b box) attackFromSidecars() {
	for _, part := range []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Ingress} {
		if part == state.CredProxy && !nightly() {
			continue // supervise has the same image, networks and limits
		}
		b.run(string(part), func(b box) {
			if part != state.Pipelock { // what is open to it is in takeOverPipelock
				b.attackNetwork(part)
			}
			b.attackOtherBottle(part)
			b.attackKernel(part)
			if part != state.CredProxy {
				b.readToken(part)
			}
			b.run("write its own files", func(b box) {
				b.denied(string(part), b.attack(part, "overwrite", "/bottled"))
				b.denied(string(part), b.attack(part, "alter", "/bottled", "/etc/hosts"))
				if part == state.Ingress {
					b.alterSocketDirectory()
				}
			})
		})
	}
}

// alterSocketDirectory tries to put something into the way of the host, in the directory in which it makes the ingress' socket.
func (b box) alterSocketDirectory() {
	file := filepath.Join(b.e.RunDir, "one", "ingress", "mine")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chown(file, 65532, 65532)); err != nil {
		b.Fatal(err)
	}
	b.denied("ingress", b.attack(state.Ingress, "overwrite", "/run/ingress/mine"))
	b.denied("ingress", b.attack(state.Ingress, "alter", "/run/ingress/mine"))
}

// attackNetwork is for parts that are on the internal network only.
func (b box) attackNetwork(part state.ComponentName) {
	services := b.hostServices()
	b.run("host services on every address", func(b box) {
		b.denied(string(part), b.attack(part, append([]string{"connect"}, services...)...))
		b.control(nil, append([]string{"connect"}, services[:len(services)-1]...)...)
	})
	b.run("host services by datagrams, broadcast and multicast", func(b box) { b.sendDatagrams(part, services) })
	b.run("cloud metadata", func(b box) { b.attackAddress(part, metadataAddress+":80") })
	b.run("direct internet by address", func(b box) { b.attackAddress(part, internetAddress+":"+servicePort) })
	b.run("IPv6", func(b box) { b.attackIPv6(part) })
	b.run("DNS tunnelling", func(b box) {
		b.denied(string(part), b.attack(part, "resolve", string(part)+".stolen.test"))
		b.control([]string{"--network", b.e.Network("egress", "two")}, "resolve", "free.test")
		if got := b.names.with(".stolen."); len(got) > 0 || len(b.names.with("free.test")) == 0 {
			b.Errorf("queries that left: %v; the control's: %v", got, b.names.with("free.test"))
		}
	})
}

func (b box) attackAddress(part state.ComponentName, target string) {
	b.Helper()
	b.denied(string(part), b.attack(part, "connect", target))
	b.control(nil, "connect", target)
}

// plain leaves out what was tried past the routes.
func plain(attempts []harness.Attempt) []harness.Attempt {
	return slices.DeleteFunc(attempts, func(a harness.Attempt) bool { return strings.Contains(a.Name, " by ") })
}

// sendDatagrams needs no answer, so it is the listener that tells. A host without a reverse path filter takes datagrams
// from every bridge, though it has no address there and can't answer: that much is shown as it is.
func (b box) sendDatagrams(part state.ComponentName, services []string) {
	targets := append(slices.Clone(services), "255.255.255.255:"+servicePort, "224.0.0.1:"+servicePort, "224.0.0.251:"+servicePort)
	b.machine.Sysctl("ipv4/conf/all/rp_filter", "2")
	if got := b.heard(part, "filtered", targets); len(got) > 0 {
		b.Errorf("a host that filters by reverse path hears %q", got)
	}
	b.machine.Sysctl("ipv4/conf/all/rp_filter", "0")
	if got := b.heard(part, "unfiltered", targets); len(got) == 0 {
		b.Error("a host that does not filter by reverse path hears nothing: the attack does not work, or docs/security.md is out of date")
	}
}

// heard is what the host's service hears of datagrams that a part sends.
func (b box) heard(part state.ComponentName, mark string, targets []string) []string {
	b.Helper()
	mark = string(part) + "-" + mark
	b.attack(part, append([]string{"send", mark}, targets...)...)
	// Later than the others, so when this one is there, they are.
	b.granted("an ordinary container", b.outsider(nil, "send", "after-"+mark, b.hostServices()[0]))
	b.e.Eventually(wellWithin, "the control's datagram arrives", func() (bool, string) {
		return len(b.datagrams.with("after-"+mark)) > 0, "it has not"
	})
	return slices.DeleteFunc(b.datagrams.with(mark), func(d string) bool { return strings.HasPrefix(d, "after-") })
}

// attackIPv6 tries the addresses that every bridge of the host has by itself, and multicast.
func (b box) attackIPv6(part state.ComponentName) {
	targets := b.linkLocal()
	if len(targets) < 4 {
		b.Fatalf("the host's bridges have too few IPv6 addresses: %v", targets)
	}
	b.denied(string(part), b.attack(part, append([]string{"connect"}, targets...)...))
	b.denied(string(part), b.attack(part, "send", "six", "[ff02::1%eth0]:"+servicePort))
	b.control([]string{"--network", sixNetwork}, "connect", "[fd00:b0::1]:"+servicePort)
	b.controlLinkLocal()
}

// linkLocal are the host's service on the link-local addresses of its bridges.
func (b box) linkLocal() []string {
	var targets []string
	for _, a := range b.machine.Addresses() {
		if a.IP.To4() == nil && a.IP.IsLinkLocalUnicast() {
			targets = append(targets, fmt.Sprintf("[%s%%eth0]:%s", a.IP, servicePort))
		}
	}
	return targets
}

// controlLinkLocal shows, once, that an ordinary container with IPv6 reaches its bridge. Which address that has depends on the
// engine's version, and it has one only while a container is on it.
func (b box) controlLinkLocal() {
	b.Helper()
	if b.shown["link-local"] {
		return
	}
	b.shown["link-local"] = true
	b.e.Docker("run", "-d", "--label="+state.LabelOwner+"="+b.e.Owner+"-guest", "--network", sixNetwork, harness.AgentImage, "agent")
	b.e.Eventually(wellWithin, "an ordinary container reaches a link-local address of the host", func() (bool, string) {
		ordinary := b.outsider([]string{"--network", sixNetwork}, append([]string{"connect"}, b.linkLocal()...)...)
		return slices.ContainsFunc(ordinary, func(a harness.Attempt) bool { return a.Granted }), fmt.Sprint(ordinary)
	})
}

func (b box) attackOtherBottle(part state.ComponentName) {
	b.run("another bottle by address", func(b box) {
		b.denied(string(part), b.attack(part, append([]string{"connect"}, b.otherBottle()...)...))
		b.granted("its own agent", plain(b.e.Attack(b.e.Name(state.Agent, "two"), append([]string{"connect"}, b.otherBottle()[:4]...)...)))
		b.control([]string{"--network", b.e.Network("egress", "two")}, "connect", b.otherBottle()[4])
	})
	b.run("another bottle by name", func(b box) {
		var names []string
		for _, p := range []state.ComponentName{state.Agent, state.Pipelock, state.CredProxy, state.Supervise, state.Ingress, boxService} {
			names = append(names, b.e.Name(p, "two"))
		}
		b.denied(string(part), b.attack(part, append([]string{"resolve"}, names...)...))
		b.granted("its own agent", b.e.Attack(b.e.Name(state.Agent, "two"), append([]string{"resolve"}, names...)...))
	})
	b.run("another bottle's processes", func(b box) {
		b.denied(string(part), b.e.Attack(b.e.Name(part, "one"), "processes", "dockerd"))
		b.granted("a container in the host's process namespace",
			slices.DeleteFunc(b.outsider([]string{"--pid", "host"}, "processes", "dockerd"), func(a harness.Attempt) bool { return !a.Granted }))
	})
}

// mighty is what makes an ordinary container's root as mighty as can be without --privileged, which not every
// machine of a test can give.
var mighty = []string{
	"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
	"--cap-add", "NET_RAW", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_MODULE", "--cap-add", "SYS_BOOT",
	"--cap-add", "SYSLOG", "--cap-add", "DAC_READ_SEARCH", "--cap-add", "SYS_TIME", "--cap-add", "SYS_NICE",
}

func (b box) attackKernel(part state.ComponentName) {
	b.run("raw sockets, ARP, forged senders, routes, AF_VSOCK", func(b box) { b.both(part, "sockets") })
	b.run("mounts, namespaces, new capabilities, devices, BPF, io_uring", func(b box) { b.both(part, "calls") })
	b.run("kernel settings", func(b box) {
		b.both(part, "overwrite", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory")
		limit := map[string]string{"1": "/sys/fs/cgroup/memory/memory.limit_in_bytes", "2": "/sys/fs/cgroup/memory.max"}
		for _, a := range b.attack(part, "overwrite", limit[b.e.Docker("info", "-f", "{{.CgroupVersion}}")]) {
			if a.Error != "EROFS" && a.Error != "EACCES" {
				b.Errorf("its own limit can be written: %+v", a)
			}
		}
	})
}

// both tries what a part must be forbidden and an ordinary container may with everything.
func (b box) both(part state.ComponentName, args ...string) {
	b.Helper()
	attempts := b.attack(part, args...)
	b.denied(string(part), attempts)
	for _, a := range attempts {
		if !slices.Contains([]string{"EPERM", "EACCES", "EROFS"}, a.Error) {
			b.Errorf("%s is not denied but fails otherwise, so it was not tried: %+v", part, a)
		}
	}
	b.control(mighty, args...)
}

func (b box) readToken(part state.ComponentName) {
	b.run("a token, from environments, processes and files", func(b box) {
		halves := b.token[:len(b.token)/2] + "|" + b.token[len(b.token)/2:]
		if found := b.attack(part, "find", halves); len(found) > 0 {
			b.Errorf("%s finds the token: %+v", part, found)
		}
		b.granted("cred-proxy, which has it", b.attack(state.CredProxy, "find", halves))
		names := strings.Fields(b.e.Docker("ps", "-aq"))
		if shown := b.e.Docker(append([]string{"inspect"}, names...)...); strings.Contains(shown, b.token) {
			b.Error("docker inspect shows the token")
		}
	})
}
