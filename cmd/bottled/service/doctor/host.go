package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/bot-bottle/bottled/state"
)

func checkReversePath(h Host) Check {
	const name = "reverse path"
	switch filtered, err := h.ReversePathFilter(); {
	case err != nil:
		return failed(name, err)
	case !filtered:
		return Check{
			Name: name, Status: Warning, Result: "agents can send one-way UDP packets to this host",
			Fix: "sysctl -w net.ipv4.conf.all.rp_filter=2, and the same in /etc/sysctl.d",
		}
	}
	return Check{Name: name, Status: OK, Result: "reverse-path filtering is on"}
}

// ErrNotPermitted is the error of FirewallRules for a user who may not read them.
var ErrNotPermitted = errors.New("only root can read the host's firewall rules")

// checkFirewall looks for a rule that keeps pipelock's network from this host.
func checkFirewall(ctx context.Context, h Host, s state.Settings) Check {
	const name, fix = "firewall", "add the rules of docs/security.md#firewall"
	rules, err := h.FirewallRules(ctx)
	switch {
	case errors.Is(err, ErrNotPermitted):
		return Check{Name: name, Status: Warning, Result: err.Error(), Fix: "run bottled doctor as root"}
	case err != nil:
		return Check{Name: name, Status: Warning, Result: err.Error(), Fix: fix}
	}
	for _, rule := range rules {
		if dropsLocal(rule, s.Pool) {
			return Check{Name: name, Status: OK, Result: fmt.Sprintf("connections from %s to this host are dropped", s.Pool)}
		}
	}
	return Check{
		Name: name, Status: Warning, Result: fmt.Sprintf("a compromised pipelock could reach services on this host: no rule drops connections from %s to it", s.Pool),
		Fix: fix,
	}
}

// The rules that drop everything from a range to this host, as iptables-save and nft print them. Any other match would narrow them.
var dropRules = []*regexp.Regexp{
	regexp.MustCompile(`^-A (?:PREROUTING|INPUT) -s (\S+) -m addrtype (?:! --dst-type UNICAST|--dst-type LOCAL) -j DROP$`),
	regexp.MustCompile(`^-A INPUT -s (\S+) -j (?:DROP|REJECT)(?: --reject-with \S+)?$`),
	regexp.MustCompile(`^ip saddr (\S+) fib daddr type (?:!= unicast|local) (?:counter )?drop$`),
}

// dropsLocal says whether a rule drops everything from a range to addresses of this host.
func dropsLocal(rule string, pool netip.Prefix) bool {
	for _, pattern := range dropRules {
		m := pattern.FindStringSubmatch(rule)
		if m == nil {
			continue
		}
		from, err := netip.ParsePrefix(m[1])
		return err == nil && from.Bits() <= pool.Bits() && from.Contains(pool.Addr())
	}
	return false
}

// leastWatches is the limit of inotify watches below which a few repositories beside the manifests use them up.
const leastWatches = 8192

func checkInotify(h Host) Check {
	const name = "inotify"
	if err := h.Inotify(); err != nil {
		return Check{
			Name: name, Status: Warning, Result: fmt.Sprintf("directories can't be watched, so the controller polls them every 2 seconds: %v", err),
			Fix: "raise sysctl fs.inotify.max_user_instances and fs.inotify.max_user_watches",
		}
	}
	watches, err := h.Sysctl("fs/inotify/max_user_watches")
	if err != nil {
		return failed(name, err)
	}
	if watches < leastWatches {
		return Check{
			Name: name, Status: Warning, Result: fmt.Sprintf("this user may watch %d directories only", watches),
			Fix: "sysctl -w fs.inotify.max_user_watches=524288, and the same in /etc/sysctl.d",
		}
	}
	return Check{Name: name, Status: OK, Result: fmt.Sprintf("this user may watch %d directories", watches)}
}

// What is left of a disk with bottled's files.
const (
	littleSpace = 1 << 30
	noSpace     = 64 << 20 // about what one audit log may take
)

func checkDir(h Host, name, path, flag string) Check {
	if err := h.CheckDir(path); err != nil {
		return Check{Name: name, Status: Failed, Result: err.Error(), Fix: "or choose another directory with " + flag}
	}
	free, err := h.FreeSpace(path)
	if err != nil {
		return failed(name, err)
	}
	c := Check{Name: name, Status: OK, Result: fmt.Sprintf("%s, %d MiB free", path, free>>20)}
	switch {
	case flag == "--run-dir": // tokens are small, and a tmpfs is
	case free < noSpace:
		c.Status, c.Fix = Failed, "make room, then bottled sync"
	case free < littleSpace:
		c.Status, c.Fix = Warning, "make room"
	}
	return c
}
