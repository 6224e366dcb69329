// Package pipelock is the component that is a bottle's only way out: an HTTP(S) forward proxy with a host allowlist and DLP.
package pipelock

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// What the container has inside.
const (
	ConfigDir  = "/etc/pipelock"
	configName = "pipelock.yaml"
	ConfigFile = ConfigDir + "/" + configName
)

// GoMemoryLimit is the program's soft limit of memory, in bytes.
const GoMemoryLimit = 160 << 20

// Kind is the component.
var Kind = component.Kind{
	Component: contract.Pipelock,
	Needed:    func(component.Context) bool { return true },
	Render:    render,
	ForAgent:  forAgent,
	Limits:    component.SidecarLimits(), GoMemoryLimit: GoMemoryLimit,
	Reloads: true, Reports: true, Audited: true,
	Image: &component.ImageSetting{
		Default: state.Builtin, Legacy: "CLAUDE_BOTTLE_PIPELOCK_IMAGE",
		Usage: "`image` of pipelock: builtin, or an official one such as ghcr.io/luckypipewrench/pipelock:2.3.0",
	},
	Colour: "36",
}

func render(c component.Context) (state.Component, []state.Dir, error) {
	m := c.Sidecar("run", "--listen", "0.0.0.0:"+strconv.Itoa(c.Kind.Port), "--config", ConfigFile)
	builtin := c.Builtin(m.Name)
	o, err := options(c, builtin)
	if err != nil {
		return state.Component{}, nil, err
	}
	rendered, err := pipelockconf.Render(o)
	if err != nil {
		return state.Component{}, nil, fmt.Errorf("%s: %w", configName, err)
	}
	// The built-in pipelock reloads these. Everything else is read once; the official one refuses to loosen it while it runs.
	o.Allowlist, o.MaxRequestBody, o.Exceptions = nil, 0, nil
	fixed, err := pipelockconf.Render(o)
	if err != nil {
		return state.Component{}, nil, fmt.Errorf("%s: %w", configName, err)
	}
	m.Container.Labels[state.LabelFixed] = configdigest.Of(map[string][]byte{configName: fixed})
	m.Container.DNS = nil // it is the one that resolves outside names
	m.Container.Networks = append(m.Container.Networks, state.Attachment{Network: c.Network(state.EgressNetwork)})
	dir := c.Dir("pipelock", map[string]state.File{configName: {Content: state.NewContent(rendered), Mode: 0o444}})
	m.Container.Mounts = []state.Mount{{Source: dir.Path, Target: ConfigDir, ReadOnly: true}}
	if builtin {
		m.Config = configdigest.Of(map[string][]byte{configName: rendered})
	} else {
		m.Container.Health = state.Health{
			Command: []string{"/pipelock", "healthcheck"}, Interval: component.ForeignInterval, Timeout: component.HealthTimeout, Retries: 3,
		}
	}
	return m, []state.Dir{dir}, nil
}

func options(c component.Context, builtin bool) (pipelockconf.Options, error) {
	e := c.Manifest.Spec.Egress
	for i, entry := range e.Allowlist {
		if !builtin && pipelockconf.HasPort(entry.Host) {
			return pipelockconf.Options{}, c.FieldError(fmt.Sprintf("%s[%d]", v1alpha1.AllowlistField, i), entry.Host+
				" has a port, and the pipelock image in use allows a host on every port: leave the port out, or use the built-in pipelock")
		}
	}
	o := pipelockconf.Options{Allowlist: Allowlist(c), IPAllowlist: []netip.Prefix{c.Subnets.Internal}, Official: !builtin, DLPAction: string(e.DLPAction)}
	for i, r := range c.Routes() {
		limit := r.MaxRequestBodyBytes()
		if !builtin && limit > route.DefaultMaxRequestBody {
			return pipelockconf.Options{}, c.FieldError(fmt.Sprintf("spec.credProxy.routes[%d].maxRequestBody", i),
				"the pipelock image in use keeps bodies in memory, and refuses those over 32Mi: write at most 32Mi, or use the built-in pipelock")
		}
		o.MaxRequestBody = max(o.MaxRequestBody, limit)
	}
	if !builtin && len(e.DLPExceptions) > 0 {
		return pipelockconf.Options{}, c.FieldError("spec.egress.dlpExceptions",
			"the pipelock image in use has rules with other names: remove the exceptions, or use the built-in pipelock")
	}
	o.Exceptions = exceptions(c)
	for _, cidr := range e.PrivateCIDRs {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return pipelockconf.Options{}, fmt.Errorf("spec.egress.privateCIDRs: %w", err)
		}
		o.IPAllowlist = append(o.IPAllowlist, p)
	}
	return o, nil
}

// exceptions are the exceptions by the URLs that they are for. A route's requests pass pipelock a second time on the way to an upstream of
// plain HTTP.
func exceptions(c component.Context) []pipelockconf.Suppress {
	var all []pipelockconf.Suppress
	for _, e := range c.Manifest.Spec.Egress.DLPExceptions {
		if e.Host != "" {
			all = append(all, pipelockconf.Suppress{Rule: e.Rule, Path: "http://" + urlHost(e.Host) + "/"})
			continue
		}
		all = append(all, pipelockconf.Suppress{Rule: e.Rule, Path: contract.CredProxy.URL() + e.Route})
		for _, r := range c.Routes() {
			if r.Path == e.Route && strings.HasPrefix(r.Upstream, "http://") {
				all = append(all, pipelockconf.Suppress{Rule: e.Rule, Path: strings.TrimSuffix(r.Upstream, "/") + "/"})
			}
		}
	}
	return all
}

// urlHost puts brackets around an IPv6 address without a port.
func urlHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}

// Allowlist is the effective allowlist: the hosts, and the names of the bottle's components that the agent asks by name; sorted, without
// duplicates.
func Allowlist(c component.Context) []string {
	list := Hosts(c)
	for _, k := range c.Kinds {
		if k.Reachable {
			list = append(list, k.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Hosts are the hosts outside of the bottle that it reaches: those declared and in force, and the routes' upstreams; sorted, without duplicates.
func Hosts(c component.Context) []string {
	list := slices.Clone(c.Inputs.Hosts)
	builtin := c.Builtin(state.Pipelock)
	for _, r := range c.Routes() {
		if host := upstreamEntry(r.Upstream, builtin); host != "" {
			list = append(list, host)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// upstreamEntry is the entry of the allowlist that opens an upstream. The built-in pipelock has tunnels to other ports than 443
// only where an entry says so; the official one knows no ports.
func upstreamEntry(upstream string, builtin bool) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if builtin && u.Scheme == "https" && port != "" && port != "443" {
		return net.JoinHostPort(host, port)
	}
	return host
}
