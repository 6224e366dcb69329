package render

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
)

// The agent's view of its sidecars: the same in every bottle (contract).
const (
	pipelockURL  = "http://pipelock:8888"
	credProxyURL = "http://cred-proxy:9099" //nolint:gosec // an address, no credential
	superviseURL = "http://supervise:9100"
	// noProxy: supervise is asked directly, because its calls wait for hours; cred-proxy is not, so that
	// pipelock sees what goes there.
	noProxy = "localhost,127.0.0.1,::1,supervise"
	// placeholder stands where a client insists on a token; the cred-proxy puts the real one in.
	placeholder = "bottled-placeholder"
	currentDir  = "/etc/claude-bottle/current-config"
	// agentOOMScore: whatever else runs on the host outlives an agent that has taken all of its memory.
	agentOOMScore = 1000
)

func (d renderer) agent() (state.Component, []state.Dir, error) {
	a := d.m.Spec.Agent
	c := d.container(state.Agent, d.image)
	c.Command, c.Runtime = a.Command, a.Runtime
	c.Limits = state.Limits{Memory: a.Resources.MemoryBytes(), NanoCPUs: a.Resources.NanoCPUs(), Pids: cmp.Or(a.Resources.Pids, manifests.DefaultPids)}
	c.OOMScore = agentOOMScore
	c.Env = d.agentEnv()
	var err error
	if c.Home, err = d.homeFiles(); err != nil {
		return state.Component{}, nil, err
	}
	for _, m := range a.Mounts {
		source, judged := d.in.Mounts[m.Source]
		if !judged {
			return state.Component{}, nil, fmt.Errorf("spec.agent.mounts: %s was not judged", m.Source)
		}
		c.Mounts = append(c.Mounts, state.Mount{Source: source.Path, Target: m.Target, ReadOnly: m.ReadOnly, ID: source.ID})
	}
	if held := d.heldDirectories(); held != "" {
		c.Labels[state.LabelMounts] = held
	}
	var dirs []state.Dir
	if d.m.Spec.Supervise {
		dir, err := d.currentConfig()
		if err != nil {
			return state.Component{}, nil, err
		}
		c.Mounts = append(c.Mounts, state.Mount{Source: dir.Path, Target: currentDir, ReadOnly: true})
		dirs = append(dirs, dir)
	}
	return state.Component{Name: state.Agent, Container: c, Build: d.in.Build}, dirs, nil
}

// heldDirectories is a digest of which directories are mounted, "" for none: a container holds on to the directory that it was
// started with, also when another one takes its place. Files are left out: most programs replace the whole file to change it.
// So is the device, whose number may be another one after a reboot.
func (d renderer) heldDirectories() string {
	var held []string
	for _, m := range d.m.Spec.Agent.Mounts {
		if source := d.in.Mounts[m.Source]; source.Directory {
			held = append(held, fmt.Sprintf("%s=%d", m.Target, source.ID.Ino))
		}
	}
	if held == nil {
		return ""
	}
	slices.Sort(held)
	return state.DigestJSON(held)
}

// agentEnv is the environment that leads every client in the agent to the sidecars. It holds no token.
func (d renderer) agentEnv() map[string]string {
	env := map[string]string{}
	maps.Copy(env, d.m.Spec.Agent.Env)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		env[name], env[strings.ToLower(name)] = pipelockURL, pipelockURL
	}
	env["NO_PROXY"], env["no_proxy"] = noProxy, noProxy
	for _, r := range d.routesWith(manifests.RoleAnthropicBaseURL) {
		env["ANTHROPIC_BASE_URL"], env["ANTHROPIC_AUTH_TOKEN"] = credProxyURL+r.Path, placeholder
	}
	for _, r := range d.routesWith(manifests.RoleNPMRegistry) {
		env["npm_config_registry"] = credProxyURL + r.Path
		// An address of cred-proxy in a lock file would lead nobody else to a package.
		env["npm_config_omit_lockfile_registry_resolved"] = "true"
	}
	maps.Copy(env, d.gitEnv())
	return env
}

// gitEnv is Git's own way of configuration without a file. Whatever way to an upstream a repository's address names, git
// goes to cred-proxy, with the same path.
func (d renderer) gitEnv() map[string]string {
	env := map[string]string{}
	count := 0
	for _, r := range d.routesWith(manifests.RoleGitInsteadOf) {
		for _, address := range gitAddresses(r.Upstream) {
			env[fmt.Sprintf("GIT_CONFIG_KEY_%d", count)] = "url." + credProxyURL + r.Path + ".insteadOf"
			env[fmt.Sprintf("GIT_CONFIG_VALUE_%d", count)] = address
			count++
		}
	}
	if count > 0 {
		env["GIT_CONFIG_COUNT"] = strconv.Itoa(count)
	}
	return env
}

// gitAddresses are the beginnings of the addresses that lead to an upstream: its own, and those of SSH.
func gitAddresses(upstream string) []string {
	own := strings.TrimSuffix(upstream, "/") + "/"
	u, err := url.Parse(own)
	if err != nil {
		return []string{own}
	}
	path := strings.TrimPrefix(u.Path, "/")
	return []string{own, "git@" + u.Hostname() + ":" + path, "ssh://git@" + u.Hostname() + "/" + path}
}

// routesWith are the routes that have a role.
func (d renderer) routesWith(role manifests.Role) []manifests.Route {
	var with []manifests.Route
	for _, r := range d.routes() {
		if slices.Contains(r.Roles, role) {
			with = append(with, r)
		}
	}
	return with
}

// currentConfig is what the agent may read of its own bottle before it asks for more. supervise reads it too.
func (d renderer) currentConfig() (state.Dir, error) {
	routes, err := d.routesFile()
	if err != nil {
		return state.Dir{}, err
	}
	file := func(content string) state.File {
		return state.File{Content: state.NewContent([]byte(content)), Mode: 0o444}
	}
	files := map[string]state.File{
		"routes.json": file(string(routes)),
		"allowlist":   file(lines(d.allowlist())),
		// Without it supervise could not tell which addresses can be allowed at all.
		"private-cidrs": file(lines(d.m.Spec.Egress.PrivateCIDRs)),
	}
	if d.image != "" {
		files["Dockerfile"] = file(d.dockerfile())
	}
	return d.dir("current-config", files), nil
}

func lines(list []string) string {
	var text strings.Builder
	for _, line := range list {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// allowed is the entry of the allowlist that opens an upstream. The built-in pipelock has tunnels to other
// ports than 443 only where an entry says so; the official one knows no ports.
func allowed(upstream string, builtin bool) string {
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
