package docker

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bot-bottle/bottled/state"
)

// Fixed settings of every container, so that the defaults in the engine's daemon.json don't apply.
var (
	// noSearch disables search domains, in Docker's spelling: a query for NAME.SEARCH.DOMAIN would go to that domain's owner.
	noSearch = []string{"."}
	// noOptions makes a resolver query each name as it is. It is the default of Docker's embedded DNS server.
	noOptions = []string{"ndots:0"}
	// quickOptions are noOptions with which a resolver asks once and waits for a second (resolv.conf(5)).
	quickOptions = append(slices.Clone(noOptions), "timeout:1", "attempts:1")
	// readonlyPaths are Docker's defaults.
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// maskedPaths are the masked paths of Docker 28.5, since older engines leave some of them open. Paths that the kernel lacks are
// ignored.
var maskedPaths = sync.OnceValue(func() []string {
	paths := []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	perCPU, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle") // the only error is a bad pattern
	return append(paths, perCPU...)
})

// ulimits returns the ulimits of every container: no real-time or raised priorities. Others may come from the engine's
// default-ulimits, since the cgroup bounds what a container uses.
func ulimits() []*container.Ulimit {
	return []*container.Ulimit{{Name: "nice"}, {Name: "rtprio"}}
}

// comparedElsewhere lists the fields of HostConfig that are no extras, with the reason: a field of state.Container covers them, or they
// don't affect isolation.
var comparedElsewhere = map[string]string{
	"AutoRemove":      "a session's container is removed at its end; of a component it takes nothing but its log",
	"CapAdd":          "Container.CapAdd",
	"CapDrop":         "Container.CapDrop",
	"ConsoleSize":     "the size of a terminal",
	"ContainerIDFile": "a file of the docker CLI's",
	"Dns":             "Container.DNS",
	"LogConfig":       "Container.Log",
	"Memory":          "Limits.Memory",
	"MemorySwap":      "Limits.Swap",
	"NanoCpus":        "Limits.NanoCPUs",
	"NetworkMode":     "Container.Networks; shared namespaces are extras",
	"OomScoreAdj":     "Container.OOMScore",
	"PidsLimit":       "Limits.Pids",
	"ReadonlyRootfs":  "Container.ReadOnlyRoot",
	"RestartPolicy":   "Container.Restart",
	"Runtime":         "Container.Runtime; an operator chooses the engine's default",
	"SecurityOpt":     "Container.SecurityOpt",
}

// extras lists the settings that bottled never makes, as `docker inspect` shows them. got is the container as converted so far. Every
// field of HostConfig is compared unless comparedElsewhere lists it, so fields of newer Docker clients are, too.
func extras(c container.InspectResponse, got state.Container) []string {
	first := got
	first.Networks = []state.Attachment{{}}
	_, want := toCreate(first, nil)
	have := *c.HostConfig
	have.Ulimits = ownUlimits(have.Ulimits)
	slices.SortFunc(want.Mounts, byTarget)
	have.Mounts = slices.SortedFunc(slices.Values(have.Mounts), byTarget)
	if got.Additions.Launcher {
		have.Mounts = slices.DeleteFunc(have.Mounts, isLauncher)
	}
	found := diffFields(nonZeroFields(want), nonZeroFields(have), comparedElsewhere)
	if mode := string(have.NetworkMode); mode == "host" || strings.HasPrefix(mode, "container:") {
		found = append(found, "NetworkMode="+mode)
	}
	for _, m := range c.Mounts {
		_, declared := c.Config.Volumes[m.Destination] // by the image
		declared = declared || slices.Contains(got.Volumes, state.VolumeMount{Volume: m.Name, Target: m.Destination})
		if m.Type != mount.TypeBind && !declared {
			found = append(found, string(m.Type)+"="+m.Destination)
		}
		if m.Type == mount.TypeBind && !slices.Contains(containedPropagations, m.Propagation) {
			found = append(found, "propagation of "+m.Destination+"="+string(m.Propagation))
		}
	}
	return slices.Sorted(slices.Values(append(found, endpointExtras(c)...)))
}

// containedPropagations are the mount propagations with which a mount inside the container does not appear on the host. Docker itself
// chooses rslave for a source that contains its data directory.
var containedPropagations = []mount.Propagation{"", mount.PropagationPrivate, mount.PropagationRPrivate, mount.PropagationSlave, mount.PropagationRSlave}

func byTarget(a, b mount.Mount) int { return strings.Compare(a.Target, b.Target) }

// endpointExtras lists the settings of a container's endpoints that bottled never makes.
func endpointExtras(c container.InspectResponse) []string {
	var found []string
	for name, e := range c.NetworkSettings.Networks {
		if e.GlobalIPv6Address != "" {
			found = append(found, "IPv6 on "+name+"="+e.GlobalIPv6Address)
		}
		for option, value := range e.DriverOpts { // sysctls among them
			found = append(found, option+" on "+name+"="+value)
		}
	}
	return found
}

// ownUlimits returns the ulimits that bottled sets, without those from the engine's default-ulimits.
func ownUlimits(all []*container.Ulimit) []*container.Ulimit {
	ours := map[string]bool{}
	for _, u := range ulimits() {
		ours[u.Name] = true
	}
	kept := slices.DeleteFunc(slices.Clone(all), func(u *container.Ulimit) bool { return !ours[u.Name] })
	slices.SortFunc(kept, func(a, b *container.Ulimit) int { return strings.Compare(a.Name, b.Name) })
	return kept
}

// nonZeroFields returns the fields of a value that are not empty, as `docker inspect` names and prints them.
func nonZeroFields(v any) map[string]string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("docker: a configuration that is not JSON: " + err.Error()) // it came as JSON
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		panic("docker: a configuration that is no JSON object: " + err.Error())
	}
	set := map[string]string{}
	for name, value := range all {
		switch text := string(value); text {
		case "null", `""`, "0", "false", "[]", "{}":
		default:
			set[name] = text
		}
	}
	return set
}

// diffFields lists the fields that differ, except the excluded ones, with the container's value.
func diffFields(want, have, excluded map[string]string) []string {
	var found []string
	for name, value := range have {
		if _, skip := excluded[name]; !skip && value != want[name] {
			found = append(found, name+"="+strings.Trim(value, `"`))
		}
	}
	for name := range want {
		if _, is := have[name]; !is && excluded[name] == "" {
			found = append(found, name+"=(none)")
		}
	}
	return found
}

// swapOf returns how much swap a container may use in addition to its memory limit, in bytes. Where the kernel does not account for
// swap Docker always reports -1, which counts as 0, so as not to be drift.
func swapOf(r container.Resources) int64 {
	if r.Memory == 0 {
		return 0
	}
	return max(r.MemorySwap-r.Memory, 0)
}
