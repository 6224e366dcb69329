package render

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/pipelockconf"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/routesconf"
)

// Desire turns a manifest into what should run. It is pure.
func Bottle(m manifests.Bottle, in resolve.Inputs, nets state.Subnets, s state.Settings) (state.Bottle, error) {
	image, err := s.ImageOfAgent(m, in.Build)
	if err != nil {
		return state.Bottle{}, err
	}
	d := renderer{m: m, in: in, nets: nets, s: s, slug: m.Metadata.Name, image: image}
	b := state.Bottle{
		Slug: d.slug, Manifest: m.Source.Path, Declared: m, SpecHash: SpecHash(m), Suspended: m.Spec.Suspend, Networks: d.networks(),
	}
	type maker func() (state.Component, []state.Dir, error)
	makers := []maker{d.pipelock}
	if d.routes() != nil {
		makers = append(makers, d.credProxy)
	}
	if m.Spec.Supervise {
		makers = append(makers, d.supervise)
	}
	if image != "" {
		makers = append(makers, d.agent)
	}
	for _, mk := range makers {
		member, dirs, err := mk()
		if err != nil {
			return state.Bottle{}, err
		}
		member.Container.Labels[state.LabelHash] = member.Container.Hash()
		for _, dir := range dirs {
			member.DirPaths = append(member.DirPaths, dir.Path)
			b.AddDir(dir)
		}
		b.Components = append(b.Components, member)
	}
	return b, nil
}

// SpecHash is a digest of what a manifest declares, wherever it lies.
func SpecHash(m manifests.Bottle) string { return state.DigestJSON(m) }

type renderer struct {
	m    manifests.Bottle
	in   resolve.Inputs
	nets state.Subnets
	s    state.Settings
	slug string

	image string // of the agent; "" when there is none
}

func (d renderer) routes() []manifests.Route {
	if d.m.Spec.CredProxy == nil {
		return nil
	}
	return d.m.Spec.CredProxy.Routes
}

func (d renderer) labels(role string) map[string]string {
	l := map[string]string{}
	maps.Copy(l, d.m.Metadata.Labels)
	l[state.LabelOwner], l[state.LabelSlug], l[state.LabelRole] = d.s.Owner, d.slug, role
	l[state.LabelManifest], l[state.LabelStateDir] = d.m.Source.Path, d.s.StateDir
	return l
}

func (d renderer) networks() []state.Network {
	internal := state.Network{
		Name: state.NetworkName(d.s.Prefix, state.InternalNetwork, d.slug), Subnet: d.nets.Internal,
		Internal: true, Isolated: true, Labels: d.labels(state.InternalNetwork),
	}
	egress := state.Network{
		Name: state.NetworkName(d.s.Prefix, state.EgressNetwork, d.slug), Subnet: d.nets.Egress,
		Labels: d.labels(state.EgressNetwork),
	}
	return []state.Network{internal, egress}
}

// container is what all parts have in common: on the internal network under the part's name, no
// capabilities, no way to get any, no way to ask the engine's DNS for outside names.
func (d renderer) container(part state.ComponentName, image string) state.Container {
	c := state.Sealed(state.Attachment{Network: state.NetworkName(d.s.Prefix, state.InternalNetwork, d.slug), Aliases: []string{string(part)}})
	c.Name, c.Image, c.Env, c.Labels = state.ContainerName(d.s.Prefix, part, d.slug), image, map[string]string{}, d.labels(string(part))
	c.Restart, c.Log = "no", state.Log{Driver: "json-file", Options: map[string]string{"max-size": "10m", "max-file": "3"}}
	return c
}

// sidecar is a hardened container. Its command is run by bottled's own image, or by another image that
// takes the same arguments.
func (d renderer) sidecar(part state.ComponentName, limits state.Limits, args ...string) state.Component {
	image, builtin := d.s.Image(part)
	c := d.container(part, image)
	c.User, c.ReadOnlyRoot, c.Limits = d.s.User, true, limits
	c.Command = args
	m := state.Component{Name: part, Reloads: part != state.Supervise}
	if builtin {
		c.Command = append(append([]string{"sidecar", string(part)}, args...), "--internal-subnet", d.nets.Internal.String())
		c.Health = state.Health{Command: []string{"/bottled", "sidecar", string(part), "healthcheck"}, Interval: builtinInterval, Timeout: 5 * time.Second, Retries: 2}
	}
	m.Container = c
	return m
}

const (
	// builtinInterval is long because a check is a process in the container (70 ms of a core on 20.10) and
	// readiness is not learned from it: the sidecar says so itself.
	builtinInterval = time.Minute
	// foreignInterval is short because an image of others tells it is ready by its health check only.
	foreignInterval = 5 * time.Second
	mebi            = 1 << 20
)

func (d renderer) pipelock() (state.Component, []state.Dir, error) {
	m := d.sidecar(state.Pipelock, state.Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256},
		"run", "--listen", "0.0.0.0:"+strconv.Itoa(state.PipelockPort), "--config", "/etc/pipelock/pipelock.yaml")
	_, builtin := d.s.Image(state.Pipelock)
	options, err := d.pipelockOptions(builtin)
	if err != nil {
		return state.Component{}, nil, err
	}
	rendered, err := pipelockconf.Render(options)
	if err != nil {
		return state.Component{}, nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	// All but the allowlist is read once: pipelock refuses to loosen the rest while it runs.
	options.Allowlist = nil
	fixed, err := pipelockconf.Render(options)
	if err != nil {
		return state.Component{}, nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	m.Container.Labels[state.LabelFixed] = configdigest.Of(map[string][]byte{"pipelock.yaml": fixed})
	m.Container.DNS = nil // it is the one that resolves outside names
	m.Container.Networks = append(m.Container.Networks, state.Attachment{Network: state.NetworkName(d.s.Prefix, state.EgressNetwork, d.slug)})
	dir := d.dir("pipelock", map[string]state.File{"pipelock.yaml": {Content: state.NewContent(rendered), Mode: 0o444}})
	m.Container.Mounts = []state.Mount{{Source: dir.Path, Target: "/etc/pipelock", ReadOnly: true}}
	if builtin {
		m.Config = configdigest.Of(map[string][]byte{"pipelock.yaml": rendered})
	} else {
		m.Container.Health = state.Health{Command: []string{"/pipelock", "healthcheck"}, Interval: foreignInterval, Timeout: 5 * time.Second, Retries: 3}
	}
	return m, []state.Dir{dir}, nil
}

func (d renderer) pipelockOptions(builtin bool) (pipelockconf.Options, error) {
	e := d.m.Spec.Egress
	for i, entry := range e.Allowlist {
		if !builtin && pipelockconf.HasPort(entry) {
			return pipelockconf.Options{}, fmt.Errorf(
				"%s: %s has a port, and the pipelock image in use allows a host on every port: "+
					"leave the port out, or use the built-in pipelock", d.m.Source.Spell(fmt.Sprintf("spec.egress.allowlist[%d]", i)), entry)
		}
	}
	o := pipelockconf.Options{Allowlist: d.allowlist(), IPAllowlist: []netip.Prefix{d.nets.Internal}, Official: !builtin, DLPAction: string(e.DLPAction)}
	for _, c := range e.PrivateCIDRs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			return pipelockconf.Options{}, fmt.Errorf("spec.egress.privateCIDRs: %w", err)
		}
		o.IPAllowlist = append(o.IPAllowlist, p)
	}
	return o, nil
}

// allowlist is the effective one (contract): declared hosts, the routes' upstreams, the bottle's own names.
func (d renderer) allowlist() []string {
	list := slices.Clone(d.m.Spec.Egress.Allowlist)
	_, builtin := d.s.Image(state.Pipelock)
	for _, r := range d.routes() {
		if host := allowed(r.Upstream, builtin); host != "" {
			list = append(list, host)
		}
	}
	if d.routes() != nil {
		list = append(list, string(state.CredProxy))
	}
	if d.m.Spec.Supervise {
		list = append(list, string(state.Supervise))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (d renderer) credProxy() (state.Component, []state.Dir, error) {
	m := d.sidecar(state.CredProxy, state.Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256},
		"run", "--listen", "0.0.0.0:"+strconv.Itoa(state.CredProxyPort), "--config-dir", "/etc/cred-proxy", "--token-dir", "/run/secrets/cred-proxy")
	routes, err := d.routesFile()
	if err != nil {
		return state.Component{}, nil, err
	}
	config := map[string][]byte{"routes.json": routes}
	files := map[string]state.File{"routes.json": {Content: state.NewContent(routes), Mode: 0o600}}
	if d.in.CABundle != nil {
		config["ca.pem"] = d.in.CABundle
		files["ca.pem"] = state.File{Content: state.NewContent(d.in.CABundle), Mode: 0o444}
	}
	tokens := state.Dir{Path: d.s.TokenDir(d.slug), Files: map[string]state.File{}}
	for ref, token := range d.in.Tokens {
		tokens.Files[tokenSlot(ref)] = state.File{Content: token, Mode: 0o400, Secret: true}
	}
	dir := d.dir("cred-proxy", files)
	m.Container.Env["HTTPS_PROXY"] = pipelockURL // and no egress network: there is no other way out
	m.Container.Mounts = []state.Mount{
		{Source: dir.Path, Target: "/etc/cred-proxy", ReadOnly: true},
		{Source: tokens.Path, Target: "/run/secrets/cred-proxy", ReadOnly: true},
	}
	if _, builtin := d.s.Image(state.CredProxy); builtin {
		m.Config = configdigest.Of(config)
	}
	return m, []state.Dir{dir, tokens}, nil
}

func (d renderer) routesFile() ([]byte, error) {
	file := routesconf.File{Routes: []routesconf.Route{}}
	for _, r := range d.routes() {
		file.Routes = append(file.Routes, routeOf(r))
	}
	data, err := file.Render()
	if err != nil {
		return nil, fmt.Errorf("routes.json: %w", err)
	}
	return data, nil
}

func routeOf(r manifests.Route) routesconf.Route {
	route := routesconf.Route{
		Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, AuthHeader: r.AuthHeader, AuthQuery: r.AuthQuery,
		TokenSlot: tokenSlot(r.Token), Methods: r.Methods, MaxRequestBody: r.MaxRequestBodyBytes(),
		AllowSetCookie: r.AllowSetCookie, InsecureUpstream: r.InsecureUpstream,
	}
	for _, role := range r.Roles {
		route.Roles = append(route.Roles, string(role))
	}
	if r.Paths != nil {
		route.Paths = &routesconf.Paths{Allow: r.Paths.Allow, Deny: r.Paths.Deny}
	}
	if r.RateLimit != nil {
		route.RateLimit = &routesconf.RateLimit{RequestsPerMinute: r.RateLimit.RequestsPerMinute, Burst: r.RateLimit.Burst}
	}
	return route
}

func (d renderer) supervise() (state.Component, []state.Dir, error) {
	m := d.sidecar(state.Supervise, state.Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256}, "run")
	queue := state.Dir{Path: d.s.QueueDir(d.slug), Spool: true}
	current, err := d.currentConfig()
	if err != nil {
		return state.Component{}, nil, err
	}
	m.Container.Env = map[string]string{
		"SUPERVISE_BOTTLE_SLUG": d.slug, "SUPERVISE_QUEUE_DIR": "/run/supervise/queue", "SUPERVISE_PORT": strconv.Itoa(state.SupervisePort),
	}
	m.Container.Mounts = []state.Mount{
		{Source: queue.Path, Target: "/run/supervise/queue"},
		// At the place where the agent has it, so that both speak of the same files.
		{Source: current.Path, Target: currentDir, ReadOnly: true},
	}
	if _, builtin := d.s.Image(state.Supervise); builtin {
		m.Config = configdigest.Of(nil) // it reads the current configuration whenever it is asked
	}
	return m, []state.Dir{queue, current}, nil
}

// dir is a directory of files for one part, below the bottle's own.
func (d renderer) dir(name string, files map[string]state.File) state.Dir {
	return state.Dir{Path: d.s.BottleDir(d.slug) + "/" + name, Files: files}
}

// dockerfile is what the agent's image was made by, or a Dockerfile that makes the same.
func (d renderer) dockerfile() string {
	if d.in.Build != nil {
		return string(d.in.Build.Text)
	}
	return "FROM " + d.image + "\n"
}
