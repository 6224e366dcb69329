package e2e

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/versions"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// apiNetworkOpts is the first API version (engine 24) whose daemon.json has default-network-opts.
const apiNetworkOpts = "1.43"

// hostileDefaults are the settings of a daemon.json that open containers and networks, as far as every engine from 20.10 on
// takes them.
func hostileDefaults(t *testing.T) map[string]any {
	t.Helper()
	open := filepath.Join(t.TempDir(), "seccomp.json")
	if err := os.WriteFile(open, []byte(`{"defaultAction": "SCMP_ACT_ALLOW"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ulimit := func(name string, n int) map[string]any { return map[string]any{"Name": name, "Soft": n, "Hard": n} }
	return map[string]any{
		"log-driver": "json-file",
		"log-opts":   map[string]string{"max-size": "1m", "tag": "x", "mode": "non-blocking", "max-buffer-size": "1m", "env": "HTTPS_PROXY"},
		// An ordinary container can't even start with this one where the engine may not raise it.
		"default-ulimits":  map[string]any{"rtprio": ulimit("rtprio", 99), "nofile": ulimit("nofile", 4096)},
		"default-shm-size": "1G", "default-ipc-mode": "shareable", "default-cgroupns-mode": "host",
		"runtimes": map[string]any{"other": map[string]string{"path": "runc"}}, "default-runtime": "other",
		"seccomp-profile": open, "no-new-privileges": false, "init": true, "live-restore": true,
		"dns": []string{"192.0.2.1"}, "dns-search": []string{"stolen.test"}, "dns-opts": []string{"ndots:9"},
		"ipv6": true, "fixed-cidr-v6": "fd00:d0::/64", "mtu": 1400, "icc": true, "userland-proxy": false,
		"default-address-pools": []map[string]any{{"base": "198.18.0.0/16", "size": 24}},
	}
}

// hostileNetworks is default-network-opts for engines that have it.
func hostileNetworks(api string) map[string]map[string]string {
	bridge := map[string]string{
		"com.docker.network.enable_ipv6": "true", "com.docker.network.driver.mtu": "1400",
		"com.docker.network.bridge.enable_icc": "false", "com.docker.network.bridge.enable_ip_masquerade": "false",
		"com.docker.network.bridge.inhibit_ipv4": "true", "com.docker.network.bridge.trusted_host_interfaces": "wan0",
	}
	if versions.GreaterThanOrEqualTo(api, "1.48") {
		bridge["com.docker.network.bridge.gateway_mode_ipv4"] = "routed"
		bridge["com.docker.network.bridge.gateway_mode_ipv6"] = "routed"
	}
	return map[string]map[string]string{"bridge": bridge}
}

// TestHostileEngineDefaults runs a bottle on an engine whose daemon.json opens whatever it can: the bottle is as closed as ever,
// and the second plan is empty.
func TestHostileEngineDefaults(t *testing.T) {
	t.Parallel()
	daemon := hostileDefaults(t)
	engine := harness.PrivateEngineWith(t, daemon)
	version, api := engine.Version()
	if versions.GreaterThanOrEqualTo(api, apiNetworkOpts) {
		daemon = maps.Clone(daemon)
		daemon["default-network-opts"] = hostileNetworks(api)
		engine.Reconfigure(daemon)
		t.Logf("engine %s (API %s), with default-network-opts", version, api)
	} else {
		t.Logf("engine %s (API %s) has no default-network-opts: without them", version, api)
	}
	e := harness.New(t)
	e.On(engine)
	e.Arm()
	b := box{T: t, e: e, machine: engine.Machine(), shown: map[string]bool{}}
	b.machine.Sysctl("ipv6/conf/default/accept_dad", "0")
	b.machine.Outside()
	b.names = serveNames(b.machine.ListenPacket("udp4", "192.0.2.1:53"))
	serveTCP(b.machine.Listen("tcp6", "[::]:"+servicePort))
	e.Write("token", testToken)
	e.Write("one.yaml", whole("one"))
	e.Reconcile(exitDone)

	if !status(t, e)["one"].Ready {
		t.Errorf("the bottle is not ready: %+v", status(t, e)["one"])
	}
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
	b.expectClosed(versions.GreaterThanOrEqualTo(api, apiNetworkOpts))
}

// expectClosed attacks a bottle by what the engine's defaults would open, and shows that they do so for ordinary containers.
func (b box) expectClosed(networkOpts bool) {
	b.Helper()
	label := "--label=" + state.LabelOwner + "=" + b.e.Owner + "-guest"
	b.e.Docker("network", "create", label, "guest")
	if got := b.e.Docker("network", "inspect", "-f", "{{.EnableIPv6}}", "guest"); got != "true" && networkOpts {
		b.Errorf("default-network-opts have no effect on an ordinary network: IPv6 is %s", got)
	}
	guest := b.e.Docker("create", label, "--network", "guest", harness.AgentImage)
	const settings = "{{.HostConfig.IpcMode}} {{.HostConfig.CgroupnsMode}} {{.HostConfig.ShmSize}}"
	if got := b.e.Docker("inspect", "-f", settings, guest); got != "shareable host 1073741824" {
		b.Errorf("the defaults have no effect on an ordinary container: %s", got)
	}
	for _, part := range wholeComponents {
		if got := b.e.Docker("inspect", "-f", settings, b.e.Name(part, "one")); got != "private private 67108864" {
			b.Errorf("%s: %s", part, got)
		}
		searches := strings.Contains(b.resolvConf(part), "stolen.test")
		if searches != (part == state.Pipelock) { // which asks for absolute names only
			b.Errorf("%s searches elsewhere: %v", part, searches)
		}
		b.denied(string(part), b.attack(part, "sockets"))
		b.denied(string(part), b.attack(part, "calls"))
	}
	b.noIPv6()
	b.e.Agent("one", "fetch", "--timeout", "3s", "http://docs.demo.example/") // it resolves to nothing
	if asked := b.names.with(""); !slices.Contains(asked, "docs.demo.example.") || len(b.names.with("stolen.test")) > 0 {
		b.Errorf("pipelock asked for %q", asked)
	}
	b.attack(state.Pipelock, "resolve", "free.test")
	if asked := b.names.with(""); !slices.Contains(asked, "free.test.stolen.test.") {
		b.Errorf("dns-search has no effect on an ordinary program: it asked for %q", asked)
	}
}

// resolvConf is a container's, which the engine keeps on the host.
func (b box) resolvConf(part state.ComponentName) string {
	b.Helper()
	data, err := os.ReadFile(b.e.Docker("inspect", "-f", "{{.ResolvConfPath}}", b.e.Name(part, "one")))
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// noIPv6 tries the host's IPv6 addresses from every part, and looks for addresses that the engine gave.
func (b box) noIPv6() {
	b.Helper()
	var targets []string
	for _, a := range b.machine.Addresses() {
		switch {
		case a.IP.To4() != nil || a.IP.IsLoopback():
		case a.IP.IsLinkLocalUnicast():
			targets = append(targets, "["+a.IP.String()+"%eth0]:"+servicePort)
		default:
			targets = append(targets, net.JoinHostPort(a.IP.String(), servicePort))
		}
	}
	if len(targets) < 2 {
		b.Fatalf("the host has too few IPv6 addresses: %v", targets)
	}
	for _, part := range wholeComponents {
		b.denied(string(part), b.attack(part, append([]string{"connect"}, targets...)...))
		var networks map[string]struct{ GlobalIPv6Address string }
		shown := b.e.Docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", b.e.Name(part, "one"))
		if err := json.Unmarshal([]byte(shown), &networks); err != nil {
			b.Fatal(err)
		}
		for name, n := range networks {
			if n.GlobalIPv6Address != "" {
				b.Errorf("%s has %s on %s", part, n.GlobalIPv6Address, name)
			}
		}
	}
}
