package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

func engineChecks(ctx context.Context, e Engine) []Check {
	info, err := e.Info(ctx)
	if err != nil {
		return []Check{failed("engine", err)}
	}
	return []Check{
		{Name: "engine", Status: OK, Result: "version " + info.Version},
		checkLimits(info),
		checkUsers(info),
		checkInit(info),
		{Name: "runtimes", Status: OK, Result: strings.Join(info.Runtimes, ", ")},
	}
}

func checkInit(info engine.Info) Check {
	if info.NoInit {
		return Check{
			Name: "init", Status: Failed, Result: "the engine does not find docker-init, without which no agent can be started",
			Fix: "install it (Debian and Ubuntu: apt-get install tini; Docker's own packages contain it), then restart the engine",
		}
	}
	return Check{Name: "init", Status: OK, Result: "orphans of agents are reaped"}
}

// checkLimits reports limits of agents that the engine would accept and not enforce.
func checkLimits(info engine.Info) Check {
	c := Check{Name: "limits", Status: OK, Result: fmt.Sprintf("memory, CPUs and processes are limited (cgroup v%s)", info.CgroupVersion)}
	var missing, controllers []string
	for _, limit := range []struct {
		what, controller string
		enforced         bool
	}{{"memory", "memory", info.MemoryLimit}, {"CPUs", "cpu", info.CPULimit}, {"processes", "pids", info.PidsLimit}} {
		if !limit.enforced {
			missing, controllers = append(missing, limit.what), append(controllers, limit.controller)
		}
	}
	if len(missing) == 0 {
		return c
	}
	c.Status, c.Result = Warning, fmt.Sprintf("the engine does not limit %s (cgroup v%s)", strings.Join(missing, ", "), info.CgroupVersion)
	c.Fix = "enable these cgroup controllers and restart the engine: " + strings.Join(controllers, ", ")
	if slices.Contains(controllers, "memory") {
		c.Fix += " (Debian: add cgroup_enable=memory to the kernel's command line)"
	}
	return c
}

func checkUsers(info engine.Info) Check {
	if info.Users.Unknown {
		return Check{Name: "users", Status: Warning, Result: engine.ErrUnknownMapping.Error()}
	}
	result := "users of containers are those of the host"
	if info.Users.UID != 0 {
		result = fmt.Sprintf("root in a container is user %d on the host", info.Users.UID)
	}
	return Check{Name: "users", Status: OK, Result: result}
}

// checkPool reports networks and routes that take subnets away from the bottles.
func checkPool(ctx context.Context, e Engine, h Host, s state.Settings) Check {
	const name, fix = "subnet pool", "choose a private range that nothing else uses: --subnet-pool"
	networks, err := e.Networks(ctx)
	if err != nil {
		return failed(name, err)
	}
	routes, err := h.Routes()
	if err != nil {
		return failed(name, err)
	}
	var ours []netip.Prefix
	var overlaps []string
	add := func(what string, p netip.Prefix) bool {
		if p.Overlaps(s.Pool) {
			overlaps = append(overlaps, fmt.Sprintf("%s (%s)", what, p))
		}
		return p.Overlaps(s.Pool) && p.Bits() <= s.Pool.Bits()
	}
	full := false
	for _, n := range networks {
		if n.Labels[state.LabelOwner] != "" {
			ours = append(ours, n.Subnets...)
			continue
		}
		for _, subnet := range n.Subnets {
			full = add("network "+n.Name, subnet) || full
		}
	}
	for _, route := range routes {
		if !slices.Contains(ours, route) {
			full = add("route", route) || full
		}
	}
	switch {
	case full:
		return Check{Name: name, Status: Failed, Result: fmt.Sprintf("%s is in use: %s", s.Pool, strings.Join(overlaps, ", ")), Fix: fix}
	case len(overlaps) > 0:
		return Check{Name: name, Status: Warning, Result: fmt.Sprintf("parts of %s are in use: %s", s.Pool, strings.Join(overlaps, ", ")), Fix: fix}
	}
	return Check{Name: name, Status: OK, Result: fmt.Sprintf("%s is not used by anything else", s.Pool)}
}
