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

// Values of every container of bottled, whatever the engine's daemon.json says.
var (
	// noSearch is no search domain ("." is how the engine spells it): a resolver would ask for NAME.SEARCH.DOMAIN as well, of
	// whoever has that domain.
	noSearch = []string{"."}
	// noOptions has a resolver ask for each name as it is. It is what the engine's own DNS server sets where nothing is said.
	noOptions = []string{"ndots:0"}
	// readonlyPaths are Docker's.
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// shmSize is Docker's own default for /dev/shm, in bytes.
const shmSize = 64 << 20

// maskedPaths are those of Docker 28.5, for every engine: older ones leave some of them open. Paths that a kernel does not have
// are ignored.
var maskedPaths = sync.OnceValue(func() []string {
	paths := []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	perCPU, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle") // fails for a bad pattern only
	return append(paths, perCPU...)
})

// ulimits keep a container from real-time and raised priorities. Other ulimits may come from the engine's default-ulimits: what
// a container uses is bounded by its cgroup.
func ulimits() []*container.Ulimit {
	return []*container.Ulimit{{Name: "nice"}, {Name: "rtprio"}}
}

// comparedElsewhere are the fields of HostConfig that state.Container has a field for, or that open nothing, with the reason.
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

// extras lists every setting that differs from how bottled makes the container, as `docker inspect` shows it. got is what was
// read of the container otherwise. Fields that are not listed in comparedElsewhere are compared, so a field that a newer
// version of Docker's client adds is compared, too.
func extras(c container.InspectResponse, got state.Container) []string {
	first := got
	first.Networks = []state.Attachment{{}}
	_, want := toCreate(first)
	have := *c.HostConfig
	have.Ulimits = priorities(have.Ulimits)
	slices.SortFunc(want.Mounts, byTarget)
	have.Mounts = slices.SortedFunc(slices.Values(have.Mounts), byTarget)
	found := differences(fields(want), fields(have), comparedElsewhere)
	if mode := string(have.NetworkMode); mode == "host" || strings.HasPrefix(mode, "container:") {
		found = append(found, "NetworkMode="+mode)
	}
	for _, m := range c.Mounts {
		_, declared := c.Config.Volumes[m.Destination] // by the image
		if m.Type != mount.TypeBind && !declared {
			found = append(found, string(m.Type)+"="+m.Destination)
		}
		if m.Type == mount.TypeBind && !slices.Contains(inward, m.Propagation) {
			found = append(found, "propagation of "+m.Destination+"="+string(m.Propagation))
		}
	}
	return slices.Sorted(slices.Values(append(found, endpointExtras(c)...)))
}

// inward are the propagations with which nothing that is mounted in the container appears on the host. An engine chooses a slave
// where the source has its data directory.
var inward = []mount.Propagation{"", mount.PropagationPrivate, mount.PropagationRPrivate, mount.PropagationSlave, mount.PropagationRSlave}

func byTarget(a, b mount.Mount) int { return strings.Compare(a.Target, b.Target) }

// endpointExtras lists the settings of a container's endpoints that bottled never makes.
func endpointExtras(c container.InspectResponse) []string {
	var found []string
	for name, e := range c.NetworkSettings.Networks {
		if e.GlobalIPv6Address != "" {
			found = append(found, "IPv6 on "+name+"="+e.GlobalIPv6Address)
		}
		if len(e.Links) > 0 {
			found = append(found, "links on "+name+"="+strings.Join(e.Links, ","))
		}
		for option, value := range e.DriverOpts { // sysctls among them
			found = append(found, option+" on "+name+"="+value)
		}
	}
	return found
}

// priorities leaves out the ulimits that an engine adds from its default-ulimits.
func priorities(all []*container.Ulimit) []*container.Ulimit {
	ours := map[string]bool{}
	for _, u := range ulimits() {
		ours[u.Name] = true
	}
	kept := slices.DeleteFunc(slices.Clone(all), func(u *container.Ulimit) bool { return !ours[u.Name] })
	slices.SortFunc(kept, func(a, b *container.Ulimit) int { return strings.Compare(a.Name, b.Name) })
	return kept
}

// fields returns the fields of a value that are not empty, in the form and under the names of `docker inspect`.
func fields(v any) map[string]string {
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

// differences lists the fields, but for those left out, that differ, with the value that the container has.
func differences(want, have, leftOut map[string]string) []string {
	var found []string
	for name, value := range have {
		if _, out := leftOut[name]; !out && value != want[name] {
			found = append(found, name+"="+strings.Trim(value, `"`))
		}
	}
	for name := range want {
		if _, is := have[name]; !is && leftOut[name] == "" {
			found = append(found, name+"=(none)")
		}
	}
	return found
}

// swapOf is how much swap a container may use in addition to its memory limit. An engine whose kernel does not account for swap
// sets -1, whatever it is asked for: that is no drift.
func swapOf(r container.Resources) int64 {
	if r.Memory == 0 {
		return 0
	}
	return max(r.MemorySwap-r.Memory, 0)
}
