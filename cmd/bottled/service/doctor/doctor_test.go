package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

type fakeEngine struct {
	info     engine.Info
	networks []engine.ObservedNetwork
	err      error
}

func (e *fakeEngine) Info(context.Context) (engine.Info, error) { return e.info, e.err }

func (e *fakeEngine) Networks(context.Context) ([]engine.ObservedNetwork, error) {
	return e.networks, e.err
}

func network(name, owner, subnet string) engine.ObservedNetwork {
	n := engine.ObservedNetwork{Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)}}
	n.Name = name
	if owner != "" {
		n.Labels = map[string]string{state.LabelOwner: owner}
	}
	return n
}

const goodRule = "-A PREROUTING -s 10.213.0.0/16 -m addrtype ! --dst-type UNICAST -j DROP"

// sound is an engine and a host with which nothing is wrong.
func sound() (*fakeEngine, *Host, *state.Settings) {
	bridge := netip.MustParsePrefix("10.213.4.0/28")
	e := &fakeEngine{
		info:     engine.Info{Version: "28.5.2", MemoryLimit: true, CPULimit: true, PidsLimit: true, CgroupVersion: "2", Runtimes: []string{"runc", "runsc"}},
		networks: []engine.ObservedNetwork{network("bridge", "", "172.17.0.0/16"), network("net-dev", "somebody", bridge.String())},
	}
	host := &Host{
		Routes: func() ([]netip.Prefix, error) {
			return []netip.Prefix{bridge, netip.MustParsePrefix("192.168.1.0/24")}, nil
		},
		ReversePathFilter: func() (bool, error) { return true, nil },
		FirewallRules:     func(context.Context) ([]string, error) { return []string{":INPUT ACCEPT [0:0]", goodRule}, nil },
		Inotify:           func() error { return nil },
		Sysctl:            func(string) (int, error) { return 100_000, nil },
		FreeSpace:         func(string) (uint64, error) { return 50 << 30, nil },
		CheckDir:          func(string) error { return nil },
	}
	return e, host, &state.Settings{Owner: "default", StateDir: "/s", RunDir: "/r", Pool: state.DefaultPool}
}

// TestRun spoils one thing at a time: its check, and no other, has something to say, with a remedy.
func TestRun(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		spoil  func(e *fakeEngine, h *Host, s *state.Settings)
		check  string
		status Status
		says   string
		noFix  bool
	}{
		"memory is not limited": {func(e *fakeEngine, _ *Host, _ *state.Settings) { e.info.MemoryLimit = false }, "limits", Warning, "does not limit memory", false},
		"no init":               {func(e *fakeEngine, _ *Host, _ *state.Settings) { e.info.NoInit = true }, "init", Failed, "does not find docker-init", false},
		"rootless":              {func(e *fakeEngine, _ *Host, _ *state.Settings) { e.info.Users.Unknown = true }, "users", Warning, "use an engine with userns-remap", true},
		"a route covers the pool": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.Routes = func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil }
		}, "subnet pool", Failed, "10.213.0.0/16 is in use: route (10.0.0.0/8)", false},
		"a network overlaps the pool": {func(e *fakeEngine, _ *Host, _ *state.Settings) {
			e.networks = append(e.networks, network("compose", "", "10.213.8.0/24"))
		}, "subnet pool", Warning, "parts of 10.213.0.0/16 are in use: network compose (10.213.8.0/24)", false},
		"no filter": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.ReversePathFilter = func() (bool, error) { return false, nil }
		}, "reverse path", Warning, "UDP", false},
		"unknown proc": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.ReversePathFilter = func() (bool, error) { return false, broken }
		}, "reverse path", Failed, "broken", true},
		"no rule": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.FirewallRules = func(context.Context) ([]string, error) { return nil, nil }
		}, "firewall", Warning, "compromised pipelock", false},
		"not root": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.FirewallRules = func(context.Context) ([]string, error) { return nil, ErrNotPermitted }
		}, "firewall", Warning, "only root", false},
		"no iptables": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.FirewallRules = func(context.Context) ([]string, error) { return nil, broken }
		}, "firewall", Warning, "broken", false},
		"other pool":   {func(_ *fakeEngine, _ *Host, s *state.Settings) { s.Pool = netip.MustParsePrefix("10.99.0.0/16") }, "firewall", Warning, "10.99.0.0/16", false},
		"no instances": {func(_ *fakeEngine, h *Host, _ *state.Settings) { h.Inotify = func() error { return broken } }, "inotify", Warning, "broken", false},
		"few watches": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.Sysctl = func(string) (int, error) { return 100, nil }
		}, "inotify", Warning, "100 directories only", false},
		"little space": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.FreeSpace = func(string) (uint64, error) { return 500 << 20, nil }
		}, "state directory", Warning, "500 MiB", false},
		"no space": {func(_ *fakeEngine, h *Host, _ *state.Settings) {
			h.FreeSpace = func(string) (uint64, error) { return 1 << 20, nil }
		}, "state directory", Failed, "1 MiB", false},
		"foreign state": {func(_ *fakeEngine, h *Host, _ *state.Settings) { h.CheckDir = only("/s", broken) }, "state directory", Failed, "broken", false},
		"foreign run":   {func(_ *fakeEngine, h *Host, _ *state.Settings) { h.CheckDir = only("/r", broken) }, "run directory", Failed, "broken", false},
	} {
		e, h, s := sound()
		c.spoil(e, h, s)
		found := false
		for _, check := range Run(t.Context(), e, nil, *h, *s) {
			if check.Name != c.check {
				if check.Status != OK || check.Fix != "" || check.Result == "" {
					t.Errorf("%s: also %+v", name, check)
				}
				continue
			}
			found = true
			if check.Status != c.status || !strings.Contains(check.Result, c.says) || (check.Fix == "") != c.noFix {
				t.Errorf("%s: %+v, want %s: %s", name, check, c.status, c.says)
			}
		}
		if !found {
			t.Errorf("%s: there is no check %q", name, c.check)
		}
	}
}

func only(bad string, err error) func(string) error {
	return func(path string) error {
		if path == bad {
			return err
		}
		return nil
	}
}

func TestRunWithoutEngine(t *testing.T) {
	_, h, s := sound()
	checks := Run(t.Context(), nil, errors.New("gone"), *h, *s)
	if len(checks) < 5 || checks[0].Name != "engine" || checks[0].Status != Failed || checks[0].Result != "gone" || checks[0].Fix == "" {
		t.Errorf("%+v", checks)
	}
	for _, check := range checks[1:] {
		if check.Status != OK {
			t.Errorf("also %+v", check)
		}
	}
	e, h, s := sound()
	e.err = errors.New("broken")
	if text := fmt.Sprint(Run(t.Context(), e, nil, *h, *s)); strings.Count(text, "broken") != 2 {
		t.Errorf("an engine that answers nothing but pings: %s", text)
	}
	// In a container the network's settings say nothing about the host.
	s.Shared = []string{}
	h.ReversePathFilter, h.FirewallRules = nil, nil
	Run(t.Context(), e, nil, *h, *s)
}

func TestDropsLocal(t *testing.T) {
	for rule, want := range map[string]bool{
		goodRule: true,
		"ip saddr 10.213.0.0/16 fib daddr type != unicast drop":                             true,
		"-A INPUT -s 10.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable":              true,
		"ip saddr 10.213.0.0/24 fib daddr type != unicast drop":                             false, // only a part
		"-A PREROUTING -s 10.213.0.0/16 -d 169.254.0.0/16 -j DROP":                          false, // not this host
		"-A PREROUTING -s 10.213.0.0/16 -p udp -m udp --dport 4789 -j DROP":                 false,
		"-A INPUT -s 10.213.0.0/16 -p tcp -m tcp --dport 22 -j DROP":                        false, // one port
		"-A INPUT -s 10.213.0.0/16 -j ACCEPT":                                               false,
		"-A FORWARD -s 10.213.0.0/16 -j DROP":                                               false,
		"-A PREROUTING -s 10.99.0.0/16 -m addrtype ! --dst-type UNICAST -j DROP":            false,
		"-A INPUT -s 10.213.0.0/16 -m comment --comment \"-j DROP is for later\" -j ACCEPT": false,
		"-A INPUT -i br-1 -s 10.213.0.0/16 -j DROP":                                         false, // one interface
		"-A INPUT -s 10.213.0.0/16 -m limit --limit 5/min -j DROP":                          false,
		"-A INPUT ! -s 10.213.0.0/16 -j DROP":                                               false,
		"ip saddr != 10.213.0.0/16 fib daddr type != unicast drop":                          false,
	} {
		if got := dropsLocal(rule, state.DefaultPool); got != want {
			t.Errorf("%s: %t, want %t", rule, got, want)
		}
	}
}
