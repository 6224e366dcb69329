package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/pipelockconf"
	"github.com/bot-bottle/bottled/state/routesconf"
	"github.com/bot-bottle/bottled/state/seccomp"
)

// tokenSlot names the file that a token reaches the cred-proxy in. It depends on where the token comes
// from, so that reordering routes moves no token.
func tokenSlot(ref manifests.SecretRef) string {
	if ref.Env != "" {
		return "env-" + ref.Env
	}
	return "file-" + digestJSON(ref.File)
}

// Desire turns a manifest into what should run. It is pure.
func Desire(m manifests.Bottle, in Inputs, nets Subnets, s Settings) (Bottle, error) {
	image, err := s.ImageOfAgent(m, in.Build)
	if err != nil {
		return Bottle{}, err
	}
	d := desirer{m: m, in: in, nets: nets, s: s, slug: m.Metadata.Name, image: image}
	b := Bottle{
		Slug: d.slug, Manifest: m.Source.Path, Declared: m, Generation: Generation(m), Suspended: m.Spec.Suspend, Networks: d.networks(),
	}
	type maker func() (Member, []Dir, error)
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
			return Bottle{}, err
		}
		member.Container.Labels[LabelHash] = member.Container.Hash()
		for _, dir := range dirs {
			member.DirPaths = append(member.DirPaths, dir.Path)
			b.addDir(dir)
		}
		b.Members = append(b.Members, member)
	}
	record, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return Bottle{}, fmt.Errorf("record of bottle %s: %w", d.slug, err)
	}
	b.Dirs = append(b.Dirs, Dir{Path: s.BottleDir(d.slug), Files: map[string]File{RecordFile: {Content: NewContent(record), Mode: 0o600}}})
	return b, nil
}

// addDir adds a directory, once, whoever mounts it.
func (b *Bottle) addDir(dir Dir) {
	if !slices.ContainsFunc(b.Dirs, func(d Dir) bool { return d.Path == dir.Path }) {
		b.Dirs = append(b.Dirs, dir)
	}
}

// Generation is a digest of what a manifest declares, wherever it lies.
func Generation(m manifests.Bottle) string { return digestJSON(m) }

type desirer struct {
	m    manifests.Bottle
	in   Inputs
	nets Subnets
	s    Settings
	slug string

	image string // of the agent; "" when there is none
}

func (d desirer) routes() []manifests.Route {
	if d.m.Spec.CredProxy == nil {
		return nil
	}
	return d.m.Spec.CredProxy.Routes
}

func (d desirer) labels(role string) map[string]string {
	l := map[string]string{}
	maps.Copy(l, d.m.Metadata.Labels)
	l[LabelOwner], l[LabelSlug], l[LabelRole] = d.s.Owner, d.slug, role
	l[LabelManifest], l[LabelStateDir] = d.m.Source.Path, d.s.StateDir
	return l
}

func (d desirer) networks() []Network {
	internal := Network{
		Name: networkName(d.s.Prefix, InternalNetwork, d.slug), Subnet: d.nets.Internal,
		Internal: true, Isolated: true, Labels: d.labels(InternalNetwork),
	}
	egress := Network{
		Name: networkName(d.s.Prefix, EgressNetwork, d.slug), Subnet: d.nets.Egress,
		Labels: d.labels(EgressNetwork),
	}
	return []Network{internal, egress}
}

// container is what all parts have in common: on the internal network under the part's name, no
// capabilities, no way to get any, no way to ask the engine's DNS for outside names.
func (d desirer) container(part Part, image string) Container {
	c := sealed(Attachment{Network: networkName(d.s.Prefix, InternalNetwork, d.slug), Aliases: []string{string(part)}})
	c.Name, c.Image, c.Env, c.Labels = containerName(d.s.Prefix, part, d.slug), image, map[string]string{}, d.labels(string(part))
	c.Restart, c.Log = "no", Log{Driver: "json-file", Options: map[string]string{"max-size": "10m", "max-file": "3"}}
	return c
}

// sealed is what keeps a container in its bottle.
func sealed(internal Attachment) Container {
	return Container{
		Networks: []Attachment{internal},
		// With a server of its own a container's other queries go there and end; without one the engine
		// forwards them to the host's resolver, out of an internal network (CVE-2024-29018).
		DNS: []string{"127.0.0.1"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", seccomp.Option()},
	}
}

// sidecar is a hardened container. Its command is run by bottled's own image, or by another image that
// takes the same arguments.
func (d desirer) sidecar(part Part, limits Limits, args ...string) Member {
	image, builtin := d.s.image(part)
	c := d.container(part, image)
	c.User, c.ReadOnlyRoot, c.Limits = d.s.User, true, limits
	c.Command = args
	m := Member{Part: part, Reloads: part != Supervise}
	if builtin {
		c.Command = append(append([]string{"sidecar", string(part)}, args...), "--internal-subnet", d.nets.Internal.String())
		c.Health = Health{Command: []string{"/bottled", "sidecar", string(part), "healthcheck"}, Interval: builtinInterval, Timeout: 5 * time.Second, Retries: 2}
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

func (d desirer) pipelock() (Member, []Dir, error) {
	m := d.sidecar(Pipelock, Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256},
		"run", "--listen", "0.0.0.0:"+strconv.Itoa(PipelockPort), "--config", "/etc/pipelock/pipelock.yaml")
	_, builtin := d.s.image(Pipelock)
	options, err := d.pipelockOptions(builtin)
	if err != nil {
		return Member{}, nil, err
	}
	rendered, err := pipelockconf.Render(options)
	if err != nil {
		return Member{}, nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	// All but the allowlist is read once: pipelock refuses to loosen the rest while it runs.
	options.Allowlist = nil
	fixed, err := pipelockconf.Render(options)
	if err != nil {
		return Member{}, nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	m.Container.Labels[LabelFixed] = configdigest.Of(map[string][]byte{"pipelock.yaml": fixed})
	m.Container.DNS = nil // it is the one that resolves outside names
	m.Container.Networks = append(m.Container.Networks, Attachment{Network: networkName(d.s.Prefix, EgressNetwork, d.slug)})
	dir := d.dir("pipelock", map[string]File{"pipelock.yaml": {Content: NewContent(rendered), Mode: 0o444}})
	m.Container.Mounts = []Mount{{Source: dir.Path, Target: "/etc/pipelock", ReadOnly: true}}
	if builtin {
		m.Config = configdigest.Of(map[string][]byte{"pipelock.yaml": rendered})
	} else {
		m.Container.Health = Health{Command: []string{"/pipelock", "healthcheck"}, Interval: foreignInterval, Timeout: 5 * time.Second, Retries: 3}
	}
	return m, []Dir{dir}, nil
}

func (d desirer) pipelockOptions(builtin bool) (pipelockconf.Options, error) {
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
func (d desirer) allowlist() []string {
	list := slices.Clone(d.m.Spec.Egress.Allowlist)
	_, builtin := d.s.image(Pipelock)
	for _, r := range d.routes() {
		if host := allowed(r.Upstream, builtin); host != "" {
			list = append(list, host)
		}
	}
	if d.routes() != nil {
		list = append(list, string(CredProxy))
	}
	if d.m.Spec.Supervise {
		list = append(list, string(Supervise))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (d desirer) credProxy() (Member, []Dir, error) {
	m := d.sidecar(CredProxy, Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256},
		"run", "--listen", "0.0.0.0:"+strconv.Itoa(CredProxyPort), "--config-dir", "/etc/cred-proxy", "--token-dir", "/run/secrets/cred-proxy")
	routes, err := d.routesFile()
	if err != nil {
		return Member{}, nil, err
	}
	config := map[string][]byte{"routes.json": routes}
	files := map[string]File{"routes.json": {Content: NewContent(routes), Mode: 0o600}}
	if d.in.CABundle != nil {
		config["ca.pem"] = d.in.CABundle
		files["ca.pem"] = File{Content: NewContent(d.in.CABundle), Mode: 0o444}
	}
	tokens := Dir{Path: d.s.TokenDir(d.slug), Files: map[string]File{}}
	for ref, token := range d.in.Tokens {
		tokens.Files[tokenSlot(ref)] = File{Content: token, Mode: 0o400, Secret: true}
	}
	dir := d.dir("cred-proxy", files)
	m.Container.Env["HTTPS_PROXY"] = pipelockURL // and no egress network: there is no other way out
	m.Container.Mounts = []Mount{
		{Source: dir.Path, Target: "/etc/cred-proxy", ReadOnly: true},
		{Source: tokens.Path, Target: "/run/secrets/cred-proxy", ReadOnly: true},
	}
	if _, builtin := d.s.image(CredProxy); builtin {
		m.Config = configdigest.Of(config)
	}
	return m, []Dir{dir, tokens}, nil
}

func (d desirer) routesFile() ([]byte, error) {
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

func (d desirer) supervise() (Member, []Dir, error) {
	m := d.sidecar(Supervise, Limits{Memory: 256 * mebi, NanoCPUs: 1e9, Pids: 256}, "run")
	queue := Dir{Path: d.s.QueueDir(d.slug), Spool: true}
	current, err := d.currentConfig()
	if err != nil {
		return Member{}, nil, err
	}
	m.Container.Env = map[string]string{
		"SUPERVISE_BOTTLE_SLUG": d.slug, "SUPERVISE_QUEUE_DIR": "/run/supervise/queue", "SUPERVISE_PORT": strconv.Itoa(SupervisePort),
	}
	m.Container.Mounts = []Mount{
		{Source: queue.Path, Target: "/run/supervise/queue"},
		// At the place where the agent has it, so that both speak of the same files.
		{Source: current.Path, Target: currentDir, ReadOnly: true},
	}
	if _, builtin := d.s.image(Supervise); builtin {
		m.Config = configdigest.Of(nil) // it reads the current configuration whenever it is asked
	}
	return m, []Dir{queue, current}, nil
}

// dir is a directory of files for one part, below the bottle's own.
func (d desirer) dir(name string, files map[string]File) Dir {
	return Dir{Path: d.s.BottleDir(d.slug) + "/" + name, Files: files}
}
