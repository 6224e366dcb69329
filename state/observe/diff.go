package observe

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Change is one field that is not as declared.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Drift is how a container differs from its declaration, by what it takes to repair it.
type Drift struct {
	Recreate []Change           // fixed when it was created: it takes a new container
	Limits   []Change           // can be set on the running container
	Detach   []engine.Endpoint  // networks it must not be on
	Attach   []state.Attachment // networks it must be on
	Reattach []state.Attachment // it is on the network, without its alias
}

// Diff compares. networks are the IDs, by name, of the networks that exist; imageID is what the reference of the desired
// image stands for on the engine now, "" when the engine doesn't have it.
func Diff(want state.Container, have ObservedContainer, networks map[string]string, imageID string) Drift {
	var d Drift
	d.attachments(want, have, networks)
	got, defaults := have.Container, have.Defaults
	if want.Image != got.Image {
		d.recreate("image", got.Image, want.Image)
	} else if imageID != "" && imageID != have.ImageID {
		d.recreate("image", want.Image+" ("+shortID(have.ImageID)+")", want.Image+" ("+shortID(imageID)+")")
	}
	d.list("entrypoint", got.Entrypoint, or(want.Entrypoint, defaults.Entrypoint))
	d.list("command", got.Command, wantCommand(want, defaults))
	d.text("user", got.User, orString(want.User, defaults.User))
	d.env(want.Env, got.Env, defaults.Env)
	d.labels(want.Labels, have.Labels)
	d.mounts(want.Mounts, got.Mounts)
	d.list("dns", got.DNS, want.DNS)
	if want.Runtime != "" {
		d.text("runtime", got.Runtime, want.Runtime)
	}
	d.text("readOnlyRoot", strconv.FormatBool(got.ReadOnlyRoot), strconv.FormatBool(want.ReadOnlyRoot))
	d.set("capDrop", got.CapDrop, want.CapDrop)
	d.set("capAdd", got.CapAdd, want.CapAdd)
	d.set("securityOpt", got.SecurityOpt, want.SecurityOpt)
	d.set("extras", got.Extras, want.Extras)
	d.text("oomScore", strconv.Itoa(got.OOMScore), strconv.Itoa(want.OOMScore))
	if len(want.Health.Command) > 0 {
		d.text("health", fmt.Sprint(got.Health), fmt.Sprint(want.Health))
	}
	d.log(want.Log, got.Log)
	d.limits(want, got)
	d.text("name", have.Name, want.Name)
	if len(d.Recreate) == 0 {
		// The declaration changed in something that is not compared above.
		d.text("declaration", have.Labels[state.LabelHash], want.Labels[state.LabelHash])
	}
	return d
}

// DiffNetwork lists the properties of a network that are not as declared. None can be changed on an existing network.
func DiffNetwork(want state.Network, have engine.ObservedNetwork) []Change {
	var d Drift
	d.text("internal", strconv.FormatBool(have.Internal), strconv.FormatBool(want.Internal))
	d.text("isolated from the host", strconv.FormatBool(have.Isolated), strconv.FormatBool(want.Isolated))
	d.text("ipv6", strconv.FormatBool(have.IPv6), strconv.FormatBool(want.IPv6))
	d.text("subnet", have.Subnet.String(), want.Subnet.String())
	d.set("extras", have.Extras, want.Extras)
	return d.Recreate
}

// wantCommand follows the engine: a container with an entrypoint of its own does not get the image's command.
func wantCommand(want state.Container, defaults engine.ImageDefaults) []string {
	if len(want.Command) > 0 || len(want.Entrypoint) > 0 {
		return want.Command
	}
	return defaults.Command
}

func (d *Drift) recreate(field, before, after string) {
	d.Recreate = append(d.Recreate, Change{Field: field, Before: before, After: after})
}

func (d *Drift) text(field, before, after string) {
	if before != after {
		d.recreate(field, before, after)
	}
}

func (d *Drift) list(field string, before, after []string) {
	if !slices.Equal(before, after) {
		d.recreate(field, quoteAll(before), quoteAll(after))
	}
}

// set compares without regard to order.
func (d *Drift) set(field string, before, after []string) {
	d.list(field, slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after)))
}

func (d *Drift) env(want, got, defaults map[string]string) {
	effective := map[string]string{}
	maps.Copy(effective, defaults)
	maps.Copy(effective, want)
	d.pairs("env", got, effective)
}

// labels compares those that bottled or the manifest set; an image may bring others.
func (d *Drift) labels(want, got map[string]string) {
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
	d.pairs("labels", before, after)
}

// log compares the options that are declared. Others come from the engine's log-opts, and none opens anything.
func (d *Drift) log(want, got state.Log) {
	declared := map[string]string{}
	for name := range want.Options {
		if value, is := got.Options[name]; is {
			declared[name] = value
		}
	}
	d.text("log", fmt.Sprint(state.Log{Driver: got.Driver, Options: declared}), fmt.Sprint(want))
}

func (d *Drift) pairs(field string, before, after map[string]string) {
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
			d.recreate(field+"."+k, presence(b, hadIt), presence(a, hasIt))
		}
	}
}

func presence(value string, present bool) string {
	if !present {
		return "(none)"
	}
	return strconv.Quote(value)
}

func (d *Drift) mounts(want, got []state.Mount) {
	before, after := map[string]string{}, map[string]string{}
	for _, m := range got {
		before[m.Target] = m.String()
	}
	for _, m := range want {
		after[m.Target] = m.String()
	}
	d.pairs("mounts", before, after)
}

// limits can be set while a container runs, but the engine takes 0 for "as it is", so lifting one takes a new
// container.
func (d *Drift) limits(want, got state.Container) {
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
			changed = append(changed, Change{l.field, showLimit(l.got, l.show), showLimit(l.want, l.show)})
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

func showLimit(n int64, show func(int64) string) string {
	if n == 0 {
		return "unlimited"
	}
	return show(n)
}

func (d *Drift) attachments(want state.Container, have ObservedContainer, networks map[string]string) {
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
			d.recreate("networks."+a.Network, "(none)", "attached")
		case !attached:
			d.Attach = append(d.Attach, a)
		case networks[a.Network] != "" && e.NetworkID != "" && e.NetworkID != networks[a.Network]:
			d.recreate("networks."+a.Network, shortID(e.NetworkID)+", which is gone", shortID(networks[a.Network]))
		case !hasAliases(have.Container, a):
			d.Reattach = append(d.Reattach, a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		d.Detach = append(d.Detach, endpoints[name])
	}
}

// hasAliases says whether the container has exactly the aliases: one too many would answer for another part.
func hasAliases(c state.Container, want state.Attachment) bool {
	for _, got := range c.Networks {
		if got.Network == want.Network {
			return slices.Equal(slices.Sorted(slices.Values(got.Aliases)), slices.Sorted(slices.Values(want.Aliases)))
		}
	}
	return false
}

func or(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func orString(a, b string) string {
	if a != "" {
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
