package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Change is a field whose value differs from the declaration.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Drift is the difference between a container and its declaration, by the repair that it needs.
type Drift struct {
	Recreate []Change           // needs a new container
	Limits   []Change           // can be set on the running container
	Detach   []engine.Endpoint  // undeclared networks
	Attach   []state.Attachment // missing networks
	Reattach []state.Attachment // networks with other aliases
}

// Diff compares a container with its declaration. networks are the IDs of the existing networks by name. imageID is the ID that the
// declared image's reference has on the engine now; "" when the engine doesn't have it.
func Diff(want state.Container, have ObservedContainer, networks map[string]string, imageID string) Drift {
	var d Drift
	d.compareAttachments(want, have, networks)
	got, defaults := have.Container, have.Defaults
	if want.Image != got.Image {
		d.addRecreate("image", got.Image, want.Image)
	} else if imageID != "" && imageID != have.ImageID {
		d.addRecreate("image", want.Image+" ("+shortID(have.ImageID)+")", want.Image+" ("+shortID(imageID)+")")
	}
	d.compareList("entrypoint", got.Entrypoint, firstNonEmpty(want.Entrypoint, defaults.Entrypoint))
	d.compareList("command", got.Command, wantCommand(want, defaults))
	d.compareText("user", got.User, cmp.Or(want.User, defaults.User))
	d.compareProcess(want, got, defaults)
	d.compareEnv(want, have)
	d.compareLabels(want.Labels, have.Labels)
	d.compareMounts(want.Mounts, got.Mounts)
	d.compareMaps("volumes", byTarget(got.Volumes), byTarget(want.Volumes))
	d.compareList("dns", got.DNS, want.DNS)
	if want.Runtime != "" {
		d.compareText("runtime", got.Runtime, want.Runtime)
	}
	d.compareAddition("init", got.Additions.Init, want.Additions.Init)
	d.compareAddition("quickDNS", got.Additions.QuickDNS, want.Additions.QuickDNS)
	d.compareAddition("launcher", got.Additions.Launcher, want.Additions.Launcher)
	d.compareText("readOnlyRoot", strconv.FormatBool(got.ReadOnlyRoot), strconv.FormatBool(want.ReadOnlyRoot))
	d.compareSet("capDrop", got.CapDrop, want.CapDrop)
	d.compareSet("capAdd", got.CapAdd, want.CapAdd)
	d.compareSet("securityOpt", got.SecurityOpt, want.SecurityOpt)
	d.compareSet("extras", got.Extras, want.Extras)
	d.compareText("oomScore", strconv.Itoa(got.OOMScore), strconv.Itoa(want.OOMScore))
	if len(want.Health.Command) > 0 {
		d.compareText("health", formatHealth(got.Health), formatHealth(want.Health))
	}
	d.compareLog(want.Log, got.Log)
	d.compareLimits(want, got)
	d.compareText("name", have.Name, want.Name)
	if len(d.Recreate) == 0 {
		// The declaration changed in a field that is not compared above.
		d.compareText("declaration", have.Labels[state.LabelHash], want.Labels[state.LabelHash])
	}
	return d
}

// DiffNetwork lists the fields of a network that differ from the declaration. None of them can be changed on an existing network.
func DiffNetwork(want state.Network, have engine.ObservedNetwork) []Change {
	var d Drift
	d.compareText("internal", strconv.FormatBool(have.Internal), strconv.FormatBool(want.Internal))
	d.compareText("isolated from the host", strconv.FormatBool(have.Isolated), strconv.FormatBool(want.Isolated))
	d.compareText("ipv6", strconv.FormatBool(have.IPv6), strconv.FormatBool(want.IPv6))
	d.compareText("subnet", have.Subnet.String(), want.Subnet.String())
	d.compareSet("extras", have.Extras, want.Extras)
	return d.Recreate
}

// wantCommand returns the effective command, by the engine's rule: an entrypoint of its own disables the image's command.
func wantCommand(want state.Container, defaults engine.ImageDefaults) []string {
	if len(want.Command) > 0 || len(want.Entrypoint) > 0 {
		return want.Command
	}
	return defaults.Command
}

func (d *Drift) addRecreate(field, before, after string) {
	d.Recreate = append(d.Recreate, Change{Field: field, Before: before, After: after})
}

func (d *Drift) compareText(field, before, after string) {
	if before != after {
		d.addRecreate(field, before, after)
	}
}

func (d *Drift) compareList(field string, before, after []string) {
	if !slices.Equal(before, after) {
		d.addRecreate(field, quoteAll(before), quoteAll(after))
	}
}

// compareSet compares lists regardless of their order.
func (d *Drift) compareSet(field string, before, after []string) {
	d.compareList(field, slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after)))
}

// compareAddition compares a setting that a container may be without.
func (d *Drift) compareAddition(field string, got, want bool) {
	if got && !want {
		d.addRecreate(field, "true", "false")
	}
}

// compareEnv compares the environment. Additions may be missing, or those of another version.
func (d *Drift) compareEnv(want state.Container, have ObservedContainer) {
	declared := map[string]string{}
	maps.Copy(declared, have.Defaults.Env)
	maps.Copy(declared, want.Env)
	d.compareMaps("env", state.WithoutAdditions(have.Container.Env, have.Labels, declared), declared)
}

// compareLabels compares the declared labels; others come from the image.
func (d *Drift) compareLabels(want, got map[string]string) {
	before, after := map[string]string{}, map[string]string{}
	for k, v := range want {
		if k == state.LabelHash || k == state.LabelManifest {
			continue
		}
		after[k] = v
		if have, ok := got[k]; ok {
			before[k] = have
		}
	}
	d.compareMaps("labels", before, after)
}

// compareLog compares the driver and the declared options. Others come from the engine's log-opts; none affects isolation.
func (d *Drift) compareLog(want, got state.Log) {
	declared := map[string]string{}
	for name := range want.Options {
		if value, is := got.Options[name]; is {
			declared[name] = value
		}
	}
	d.compareText("log", fmt.Sprint(state.Log{Driver: got.Driver, Options: declared}), fmt.Sprint(want))
}

func (d *Drift) compareMaps(field string, before, after map[string]string) {
	keys := map[string]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		b, hadIt := before[k]
		a, hasIt := after[k]
		if b != a || hadIt != hasIt {
			d.addRecreate(field+"."+k, quoteOrNone(b, hadIt), quoteOrNone(a, hasIt))
		}
	}
}

func quoteOrNone(value string, present bool) string {
	if !present {
		return "(none)"
	}
	return strconv.Quote(value)
}

func (d *Drift) compareMounts(want, got []state.Mount) {
	before, after := map[string]string{}, map[string]string{}
	for _, m := range got {
		before[m.Target] = m.String()
	}
	for _, m := range want {
		after[m.Target] = m.String()
	}
	d.compareMaps("mounts", before, after)
}

// formatHealth returns what is compared of a health check.
func formatHealth(h state.Health) string {
	return fmt.Sprint("{", h.Command, " ", h.Interval, " ", h.Timeout, " ", h.Retries, "}")
}

// byTarget returns the names of volumes by their targets.
func byTarget(volumes []state.VolumeMount) map[string]string {
	names := map[string]string{}
	for _, v := range volumes {
		names[v.Target] = v.Volume
	}
	return names
}

// compareLimits compares the limits, which can be set on a running container. Lifting one needs a new container, since the engine takes 0
// for "unchanged".
func (d *Drift) compareLimits(want, got state.Container) {
	type limit struct {
		field     string
		got, want int64
		show      func(int64) string
	}
	var changed []Change
	lifted := false
	for _, l := range []limit{
		{"limits.memory", got.Limits.Memory, want.Limits.Memory, func(n int64) string { return units.BytesSize(float64(n)) }},
		{"limits.cpus", got.Limits.NanoCPUs, want.Limits.NanoCPUs, func(n int64) string { return strconv.FormatFloat(float64(n)/1e9, 'f', -1, 64) }},
		{"limits.pids", got.Limits.Pids, want.Limits.Pids, func(n int64) string { return strconv.FormatInt(n, 10) }},
	} {
		if l.got != l.want {
			changed = append(changed, Change{l.field, formatLimit(l.got, l.show), formatLimit(l.want, l.show)})
			lifted = lifted || l.want == 0
		}
	}
	if got, want := got.Limits.Swap, want.Limits.Swap; got != want {
		changed = append(changed, Change{"limits.swap", units.BytesSize(float64(got)), units.BytesSize(float64(want))})
	}
	if got.Restart != want.Restart {
		changed = append(changed, Change{"restart", got.Restart, want.Restart})
	}
	if lifted {
		d.Recreate = append(d.Recreate, changed...)
		return
	}
	d.Limits = changed
}

func formatLimit(n int64, show func(int64) string) string {
	if n == 0 {
		return "unlimited"
	}
	return show(n)
}

func (d *Drift) compareAttachments(want state.Container, have ObservedContainer, networks map[string]string) {
	endpoints := map[string]engine.Endpoint{}
	for _, e := range have.Endpoints {
		endpoints[e.Network] = e
	}
	for i, a := range want.Networks {
		e, attached := endpoints[a.Network]
		delete(endpoints, a.Network)
		switch {
		case !attached && i == 0 && have.State != engine.StateRunning && have.State != engine.StatePaused:
			// The engine can't start a container whose first network is gone.
			d.addRecreate("networks."+a.Network, "(none)", "attached")
		case !attached:
			d.Attach = append(d.Attach, a)
		case networks[a.Network] != "" && e.NetworkID != "" && e.NetworkID != networks[a.Network]:
			d.addRecreate("networks."+a.Network, shortID(e.NetworkID)+", which is gone", shortID(networks[a.Network]))
		case !hasNames(have.Container, a, want.Hostname):
			d.Reattach = append(d.Reattach, a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		d.Detach = append(d.Detach, endpoints[name])
	}
}

// hasNames reports whether the container has exactly the declared aliases and links: with a further alias it could impersonate another
// component. The engine makes the host name an alias.
func hasNames(c state.Container, want state.Attachment, hostname string) bool {
	for _, got := range c.Networks {
		if got.Network == want.Network {
			aliases := slices.DeleteFunc(slices.Sorted(slices.Values(got.Aliases)), func(alias string) bool {
				return alias == hostname && !slices.Contains(want.Aliases, alias)
			})
			return slices.Equal(aliases, slices.Sorted(slices.Values(want.Aliases))) &&
				slices.Equal(slices.Sorted(slices.Values(got.Links)), slices.Sorted(slices.Values(want.Links)))
		}
	}
	return false
}

func firstNonEmpty(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, " ") + "]"
}

func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
