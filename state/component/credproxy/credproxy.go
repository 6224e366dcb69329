// Package credproxy is the component that gives an agent's requests the tokens which the agent never sees.
package credproxy

import (
	"slices"
	"strconv"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/configdigest"
)

// What the container has inside.
const (
	ConfigDir  = "/etc/cred-proxy"
	RoutesFile = "routes.json" // in ConfigDir
	CAFile     = "ca.pem"      // in ConfigDir, optional
	// AllowlistFile, in ConfigDir, has the hosts to which an upstream may redirect clients, one entry of the allowlist a line.
	AllowlistFile = "allowlist"
	TokenDir      = "/run/secrets/cred-proxy" //nolint:gosec // a path, no credential
)

// GoMemoryLimit is the program's soft limit of memory, in bytes.
const GoMemoryLimit = 192 << 20

// Kind is the component.
var Kind = component.Kind{
	Component: contract.CredProxy,
	Needed:    func(c component.Context) bool { return c.Routes() != nil },
	Render:    render,
	ForAgent:  forAgent,
	Limits:    component.SidecarLimits(), GoMemoryLimit: GoMemoryLimit,
	Reloads: true, Reports: true, Audited: true,
	Image:  &component.ImageSetting{Default: state.Builtin, Legacy: "CLAUDE_BOTTLE_CRED_PROXY_IMAGE", Usage: "`image` of cred-proxy"},
	Colour: "33",
}

func render(c component.Context) (state.Component, []state.Dir, error) {
	m := c.Sidecar("run", "--listen", "0.0.0.0:"+strconv.Itoa(c.Kind.Port), "--config-dir", ConfigDir, "--token-dir", TokenDir)
	routes, err := Routes(c)
	if err != nil {
		return state.Component{}, nil, err
	}
	config := map[string][]byte{RoutesFile: routes, AllowlistFile: []byte(component.Lines(pipelock.Hosts(c)))}
	files := map[string]state.File{
		RoutesFile:    {Content: state.NewContent(routes), Mode: 0o600},
		AllowlistFile: {Content: state.NewContent(config[AllowlistFile]), Mode: 0o444},
	}
	if c.Inputs.CABundle != nil {
		config[CAFile] = c.Inputs.CABundle
		files[CAFile] = state.File{Content: state.NewContent(c.Inputs.CABundle), Mode: 0o444}
	}
	tokens := tokenDir(c)
	dir := c.Dir("cred-proxy", files)
	m.Container.Env["HTTPS_PROXY"] = contract.Pipelock.URL() // and no egress network: there is no other way out
	m.Container.Mounts = []state.Mount{
		{Source: dir.Path, Target: ConfigDir, ReadOnly: true},
		{Source: tokens.Path, Target: TokenDir, ReadOnly: true},
	}
	if c.Builtin(m.Name) {
		m.Config = configdigest.Of(config)
	}
	return m, []state.Dir{dir, tokens}, nil
}

// Routes is the bottle's routes.json.
func Routes(c component.Context) ([]byte, error) {
	routes := slices.Clone(c.Routes())
	for i := range routes {
		routes[i].TokenSlot = state.TokenSlot(routes[i].Token)
	}
	return route.Render(routes)
}

// tokenDir holds the tokens of the routes.
func tokenDir(c component.Context) state.Dir {
	dir := state.Dir{Path: c.Settings.TokenDir(c.Slug()), Files: map[string]state.File{}}
	for slot, token := range c.Inputs.Tokens {
		dir.Files[slot] = state.File{Content: token, Mode: 0o400, Secret: true}
	}
	for slot := range c.Inputs.NotRun {
		dir.Files[slot] = state.File{Mode: 0o400, Secret: true, Unknown: "from exec"}
	}
	return dir
}
