package docker

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/seccomp"
)

// harmlessChanges are the fields of an inspected container in which a change is no drift, and why. All others must be seen.
var harmlessChanges = map[string]string{
	"ID": "the engine's", "Created": "the engine's", "Path": "from Config", "Args": "from Config", "State": "read as the state",
	"Name":  "read from the listing",
	"Image": "the image's ID: read from the listing", "ResolvConfPath": "the engine's", "HostnamePath": "the engine's",
	"HostsPath": "the engine's", "LogPath": "the engine's", "RestartCount": "the engine's", "Driver": "the engine's",
	"Platform": "the image's", "MountLabel": "from SecurityOpt", "ProcessLabel": "from SecurityOpt", "AppArmorProfile": "from SecurityOpt",
	"ExecIDs": "docker exec: an operator's", "GraphDriver.Data": "the engine's", "GraphDriver.Name": "the engine's",
	"SizeRw": "a size", "SizeRootFs": "a size",
	"ImageManifestDescriptor": "the image's",

	"HostConfig.ContainerIDFile": "a file of the CLI's", "HostConfig.ConsoleSize": "a terminal's size",
	"HostConfig.AutoRemove": "takes a log at most", "HostConfig.NetworkMode": "the networks are compared",
	"HostConfig.Runtime":                         "an operator chooses the engine's default",
	"HostConfig.RestartPolicy.MaximumRetryCount": "of a policy that is drift",
	"HostConfig.LogConfig.Config":                "options added by the engine: only those of bottled are compared",
	"HostConfig.Ulimits":                         "default-ulimits of the engine, but for priorities",

	"Mounts[0].Name": "of a volume", "Mounts[0].Driver": "of a volume",
	"Mounts[0].Mode": "SELinux labels: RW and Propagation have the rest",

	"Config.Domainname": "a name of its own", "Config.AttachStdin": "a session's",
	"Config.AttachStdout": "a session's", "Config.AttachStderr": "a session's",
	"Config.StdinOnce": "a session's", "Config.ExposedPorts": "published ones count", "Config.ArgsEscaped": "of Windows",
	"Config.Volumes":         "empty volumes of its own; others are in Mounts",
	"Config.NetworkDisabled": "less, not more",
	"Config.MacAddress":      "nothing trusts one", "Config.OnBuild": "of builds", "Config.StopSignal": "the image's",
	"Config.Shell": "of builds", "Config.Labels": "an image may bring more",
	"Config.Healthcheck.StartPeriod":   "delays a verdict",
	"Config.Healthcheck.StartInterval": "delays a verdict",

	"NetworkSettings.Bridge": "the engine's", "NetworkSettings.SandboxID": "the engine's", "NetworkSettings.SandboxKey": "the engine's",
	"NetworkSettings.Ports": "from HostConfig.PortBindings", "NetworkSettings.HairpinMode": "never set",
	"NetworkSettings.LinkLocalIPv6Address": "never set", "NetworkSettings.LinkLocalIPv6PrefixLen": "never set",
	"NetworkSettings.SecondaryIPAddresses": "never set", "NetworkSettings.SecondaryIPv6Addresses": "never set",
	"NetworkSettings.EndpointID": "of the default bridge, which is no bottle's", "NetworkSettings.Gateway": "of the default bridge",
	"NetworkSettings.GlobalIPv6Address": "of the default bridge", "NetworkSettings.GlobalIPv6PrefixLen": "of the default bridge",
	"NetworkSettings.IPAddress": "of the default bridge", "NetworkSettings.IPPrefixLen": "of the default bridge",
	"NetworkSettings.IPv6Gateway": "of the default bridge", "NetworkSettings.MacAddress": "of the default bridge",
	"NetworkSettings.Networks":            "a network more is seen in the listing",
	"NetworkSettings.Networks.IPAMConfig": "an address in the bottle's own subnet",
	"NetworkSettings.Networks.MacAddress": "nothing trusts one",
	"NetworkSettings.Networks.GwPriority": "which of its own networks comes first",
	"NetworkSettings.Networks.NetworkID":  "read from the listing",
	"NetworkSettings.Networks.EndpointID": "read from the listing", "NetworkSettings.Networks.Gateway": "the network's",
	"NetworkSettings.Networks.IPAddress": "the engine's", "NetworkSettings.Networks.IPPrefixLen": "the network's",
	"NetworkSettings.Networks.IPv6Gateway": "there is no IPv6", "NetworkSettings.Networks.GlobalIPv6PrefixLen": "comes with an address",
	"NetworkSettings.Networks.DNSNames": "from Aliases and the name",
}

func testContainer() state.Container {
	return state.Container{
		Name: "agent", Image: "image", Entrypoint: []string{"/entry"}, Command: []string{"run"}, Env: map[string]string{"A": "b"}, User: "1:1",
		WorkDir: "/work", Hostname: "dev", TTY: true, Stdin: true, ShmSize: 1 << 30, StopGrace: time.Minute,
		Tmpfs:   []state.Tmpfs{{Target: "/tmp", Size: 1 << 20, Mode: 0o1777}},
		Devices: []state.Device{{Source: "/dev/kvm", Target: "/dev/kvm", Permissions: "rw"}}, GPUs: state.GPUs{IDs: []string{"GPU-1"}},
		Labels: map[string]string{"team": "core"}, Mounts: []state.Mount{{Source: "/src", Target: "/dst", ReadOnly: true}},
		Networks: []state.Attachment{{Network: "net", Aliases: []string{"agent"}}}, DNS: []string{"127.0.0.1"},
		Limits: state.Limits{Memory: 1 << 30, NanoCPUs: 1e9, Pids: 64}, OOMScore: 500,
		Health:       state.Health{Command: []string{"/check"}, Interval: time.Minute, Timeout: time.Second, Retries: 2},
		ReadOnlyRoot: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", seccomp.Option()},
		Restart: "no", Log: state.Log{Driver: "json-file", Options: map[string]string{"max-size": "10m"}},
	}
}

// inspected is what an engine shows of a container that it made as declared.
func inspected(c state.Container) container.InspectResponse {
	config, host := toCreate(c, nil)
	off := false
	host.OomKillDisable, host.Binds, host.Links = &off, []string{}, []string{} // engines fill these in
	shown := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: "id", Name: "/" + c.Name, HostConfig: host},
		Config:            config,
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{
			"net": {Aliases: []string{"agent"}, NetworkID: "net-id", IPAddress: "10.213.0.2"},
		}},
	}
	for _, m := range c.Mounts {
		shown.Mounts = append(shown.Mounts, container.MountPoint{
			Type: mount.TypeBind, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: mount.PropagationRPrivate,
		})
	}
	return shown
}

func drift(want state.Container, c container.InspectResponse) observe.Drift {
	have := observe.ObservedContainer{
		Summary: engine.Summary{
			Name: want.Name, Labels: c.Config.Labels, State: engine.StateRunning, Endpoints: []engine.Endpoint{{Network: "net", NetworkID: "net-id"}},
		},
		Detail: fromInspect(c, engine.ImageDefaults{}, ""),
	}
	return observe.Diff(want, have, map[string]string{"net": "net-id"}, "")
}

// TestEveryFieldOfAnInspectedContainer changes each field of the engine's answer, one at a time: emptied MaskedPaths, a device, a
// sysctl, an annotation for the runtime. Each change must be drift, or be listed as harmless with a reason. A field that a newer
// version of Docker's client adds fails here until that is decided.
func TestEveryFieldOfAnInspectedContainer(t *testing.T) {
	want := testContainer()
	if d := drift(want, inspected(want)); !reflect.DeepEqual(d, observe.Drift{}) {
		t.Fatalf("a container as declared: %+v", d)
	}
	changeEach(t, harmlessChanges, func() container.InspectResponse { return inspected(want) }, func(c container.InspectResponse) bool {
		return !reflect.DeepEqual(drift(want, c), observe.Drift{})
	})
}

// changeEach changes each field of what an engine shows, one at a time. It fails the test for a change that is neither found nor
// harmless, and for one that is both.
func changeEach[T any](t *testing.T, harmless map[string]string, shown func() T, found func(T) bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, field := range changes(reflect.ValueOf(shown()), nil) {
		changed := shown()
		name := field.change(reflect.ValueOf(&changed).Elem())
		seen[name] = true
		if reason, drift := harmless[name], found(changed); drift == (reason != "") {
			t.Errorf("%s: a change is drift: %v; listed as harmless: %q", name, drift, reason)
		}
	}
	for name := range harmless {
		if !seen[name] {
			t.Errorf("%s is listed as harmless and does not exist", name)
		}
	}
}

// TestUnmaskedPaths: an agent that was made again with `--security-opt systempaths=unconfined` sees the kernel's memory.
func TestUnmaskedPaths(t *testing.T) {
	want := testContainer()
	for name, open := range map[string]func(*container.HostConfig){
		"MaskedPaths emptied":   func(h *container.HostConfig) { h.MaskedPaths = []string{} },
		"ReadonlyPaths emptied": func(h *container.HostConfig) { h.ReadonlyPaths = []string{} },
		"one path unmasked":     func(h *container.HostConfig) { h.MaskedPaths = h.MaskedPaths[1:] },
		"raised priorities":     func(h *container.HostConfig) { h.Ulimits = nil },
		"real time": func(h *container.HostConfig) {
			h.Ulimits[1] = &container.Ulimit{Name: "rtprio", Hard: 99, Soft: 99}
		},
	} {
		shown := inspected(want)
		open(shown.HostConfig)
		if d := drift(want, shown); len(d.Recreate) != 1 || d.Recreate[0].Field != "extras" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	shown := inspected(want)
	shown.HostConfig.Ulimits = append(shown.HostConfig.Ulimits, &container.Ulimit{Name: "nofile", Hard: 9, Soft: 9})
	shown.HostConfig.LogConfig.Config = map[string]string{"max-size": "10m", "tag": "x", "mode": "non-blocking"}
	if d := drift(want, shown); !reflect.DeepEqual(d, observe.Drift{}) {
		t.Errorf("defaults of the engine: %+v", d)
	}
}

// fieldPath leads to one field of a value.
type fieldPath []int

// changes lists the paths to all fields that can be changed alone.
func changes(v reflect.Value, at fieldPath) []fieldPath {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return []fieldPath{at}
		}
		return changes(v.Elem(), at)
	case reflect.Struct:
		var all []fieldPath
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				all = append(all, changes(v.Field(i), append(slices.Clone(at), i))...)
			}
		}
		return all
	case reflect.Slice, reflect.Map:
		all := []fieldPath{at}
		if v.Len() == 1 && elementOf(v).Kind() == reflect.Struct {
			all = append(all, changes(elementOf(v), append(slices.Clone(at), -1))...)
		}
		return all
	}
	return []fieldPath{at}
}

// elementOf is the only element of a list or map.
func elementOf(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Map {
		v = v.MapIndex(v.MapKeys()[0])
	} else {
		v = v.Index(0)
	}
	return reflect.Indirect(v)
}

// change changes the field and returns its name.
func (p fieldPath) change(v reflect.Value) string {
	name := ""
	for i, index := range p {
		v = reflect.Indirect(v)
		if index < 0 {
			if v.Kind() == reflect.Slice {
				name += "[0]"
			}
			v = elementOf(v)
			continue
		}
		field := v.Type().Field(index)
		if !field.Anonymous || i == len(p)-1 {
			name = strings.TrimPrefix(name+"."+field.Name, ".")
		}
		v = v.Field(index)
	}
	other(v)
	return name
}

// other gives a value another one, which is not empty.
func other(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 7)
	case reflect.Uint, reflect.Uint16, reflect.Uint64:
		v.SetUint(v.Uint() + 7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		other(v.Elem())
	case reflect.Struct:
		if v.NumField() > 0 {
			other(v.Field(0))
		}
	case reflect.Array:
		other(v.Index(0))
	case reflect.Slice:
		more := reflect.New(v.Type().Elem()).Elem()
		other(more)
		v.Set(reflect.Append(v, more))
	case reflect.Map:
		with := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			with.SetMapIndex(key, v.MapIndex(key))
		}
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		other(key)
		other(value)
		with.SetMapIndex(key, value)
		v.Set(with)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	default:
		panic(fmt.Sprint("a kind that has no other value: ", v.Type()))
	}
}
