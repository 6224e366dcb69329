package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

// world is what one planner test starts from: the declaration, and an engine on which all is as declared.
type world struct {
	manifest v1alpha1.Bottle
	settings state.Settings
	token    string
	build    *buildcontext.Context
	// workInode is the directory that the agent mounts.
	workInode uint64
	want      Desired
	have      observe.Observed
	prune     PrunePolicy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		manifest: v1alpha1.Bottle{
			Metadata: v1alpha1.Metadata{Name: "dev", Labels: map[string]string{"team": "core"}},
			Source:   v1alpha1.Source{Path: "/etc/bottles/dev.yaml", Line: 1},
			Spec: v1alpha1.Spec{
				Supervise: true,
				Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow("api.github.com", "*.npmjs.org")},
				CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{
					Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthScheme: "Bearer",
					Token: route.SecretRef{Env: "TOKEN"}, Roles: []route.Role{route.RoleAnthropicBaseURL},
				}}},
				Agent: &v1alpha1.Agent{
					Image: "my-agent:latest", Command: []string{"claude"}, Env: map[string]v1alpha1.EnvValue{"LANG": {Text: "C.UTF-8"}},
					Mounts:    []v1alpha1.Mount{{Source: "/home/me/work", Target: "/work"}},
					Resources: v1alpha1.Resources{Memory: "2Gi", CPUs: "2", Pids: 512},
				},
			},
		},
		settings: state.Settings{
			Owner: "default", Prefix: "claude-bottle", StateDir: "/var/lib/bottled", RunDir: "/run/bottled/x", Pool: state.DefaultPool,
			BuiltinImage: "bottled:0123456789abcdef",
			User:         "65532:65532",
		},
		token: "a", prune: PruneGuarded,
	}
	b := w.desire(t)
	w.have = converged(b)
	return w
}

// desire builds the bottle from the world's manifest as it is now.
func (w *world) desire(t *testing.T) state.Bottle {
	t.Helper()
	tokens := map[string]state.Content{}
	if w.manifest.Spec.CredProxy != nil {
		for _, r := range w.manifest.Spec.CredProxy.Routes {
			tokens[state.TokenSlot(r.Token)] = state.NewContent([]byte(w.token))
		}
	}
	nets := state.Subnets{Internal: netip.MustParsePrefix("10.213.1.0/28"), Egress: netip.MustParsePrefix("10.213.1.16/28")}
	mounts := map[string]resolve.MountSource{"/home/me/work": {Path: "/home/me/work", ID: safepath.ID{Ino: w.workInode}, Directory: true}}
	b, err := render.Bottle(w.manifest, resolve.Inputs{Hosts: w.manifest.Spec.Egress.HostsAt(time.Time{}), Tokens: tokens, Mounts: mounts, Build: w.build}, nets, w.settings)
	if err != nil {
		t.Fatal(err)
	}
	w.want = Desired{Bottles: []state.Bottle{b}}
	return b
}

// converged returns an engine on which everything is exactly as declared.
func converged(b state.Bottle) observe.Observed {
	have := observe.Observed{Capabilities: docker, Images: map[string]string{}, Dirs: map[string]map[string]state.ObservedFile{}}
	for _, n := range b.Networks {
		have.Networks = append(have.Networks, engine.ObservedNetwork{ID: "id-of-" + n.Name, Network: n, Subnets: []netip.Prefix{n.Subnet}})
	}
	for _, m := range b.Components {
		c := m.Container
		have.Images[c.Image] = "sha256:1111111111111111"
		o := observe.ObservedContainer{
			Summary: engine.Summary{
				ID: "id-of-" + c.Name, Name: c.Name, Image: c.Image, ImageID: have.Images[c.Image],
				Labels: maps.Clone(c.Labels), State: engine.StateRunning,
			},
			Detail: engine.Detail{Container: c, EndedAt: time.Unix(1, 0), Defaults: engine.ImageDefaults{Env: map[string]string{"PATH": "/bin"}}},
			Config: m.Config,
		}
		o.Container.Env = maps.Clone(c.Env)
		o.Container.Env["PATH"] = "/bin"
		o.Container.Networks = slices.Clone(c.Networks)
		for _, a := range c.Networks {
			o.Endpoints = append(o.Endpoints, engine.Endpoint{Network: a.Network, NetworkID: "id-of-" + a.Network, ID: "ep"})
		}
		have.Containers = append(have.Containers, o)
	}
	for _, v := range b.Volumes {
		have.Volumes = append(have.Volumes, observe.ObservedVolume{
			ObservedVolume: engine.ObservedVolume{Volume: v}, Declared: true, Disposable: b.IsDisposable(v.Name),
		})
	}
	for _, d := range b.Dirs {
		have.Dirs[d.Path] = map[string]state.ObservedFile{}
		for name, f := range d.Files {
			have.Dirs[d.Path][name] = state.ObservedFile{Content: f.Content, Mode: f.Mode}
		}
	}
	return have
}

// withVolumes gives the agent a volume that stays and one that goes with the bottle.
func (w *world) withVolumes(t *testing.T) state.Bottle {
	t.Helper()
	agent, no := *w.manifest.Spec.Agent, false
	agent.Volumes = []v1alpha1.Volume{{Name: "home", Target: "/home/agent"}, {Name: "scratch", Target: "/scratch", Retain: &no}}
	w.manifest.Spec.Agent = &agent
	return w.desire(t)
}

// The services of withServices.
const (
	db    = state.ServicePrefix + "db"
	cache = state.ServicePrefix + "cache"
)

// withServices gives the bottle two services, which are declared in another order than that of their names.
func (w *world) withServices(t *testing.T) state.Bottle {
	t.Helper()
	w.manifest.Spec.Services = []v1alpha1.Service{
		{Name: "db", Image: "postgres:17", User: "999:999", Volumes: []v1alpha1.Volume{{Name: "data", Target: "/data"}}, Healthcheck: &v1alpha1.Healthcheck{Command: []string{"pg_isready"}}},
		{Name: "cache", Image: "redis:7"},
	}
	return w.desire(t)
}

// builds has the agent's image built from a context with this digest.
func (w *world) builds(t *testing.T, digest string) {
	t.Helper()
	agent := *w.manifest.Spec.Agent
	agent.Image, agent.Build = "", &v1alpha1.Build{Context: "/etc/bottles/agent", Dockerfile: "Dockerfile", Network: v1alpha1.BuildNetworkNone}
	w.manifest.Spec.Agent = &agent
	w.build = &buildcontext.Context{Source: agent.Build.Source(), Digest: strings.Repeat(digest, 64), Text: []byte("FROM scratch\n# " + digest + "\n")}
	w.desire(t)
}

func (w *world) container(part state.ComponentName) *observe.ObservedContainer {
	for i := range w.have.Containers {
		if w.have.Containers[i].Component() == part {
			return &w.have.Containers[i]
		}
	}
	panic("no " + part)
}

// session adds a running session, as `bottled run` makes it.
func (w *world) session(t *testing.T) *observe.ObservedContainer {
	t.Helper()
	c, err := render.Session(w.want.Bottles[0], w.settings.Prefix, []string{"bash"})
	if err != nil {
		t.Fatal(err)
	}
	c.Name = "claude-bottle-run-dev-abcd2345"
	w.have.Containers = append(w.have.Containers, observe.ObservedContainer{
		Summary: engine.Summary{
			ID: "id-of-session", Name: c.Name, Image: c.Image, ImageID: w.have.Images[c.Image], Labels: c.Labels, State: engine.StateRunning,
			Endpoints: []engine.Endpoint{{Network: c.Networks[0].Network, NetworkID: "id-of-" + c.Networks[0].Network, ID: "ep"}},
		},
		Detail: engine.Detail{Container: c},
	})
	return w.container(state.Session)
}

// block keeps the agent from being started, as a mount that was refused does.
func (w *world) block() {
	w.want.Bottles[0].Block(state.Agent, "a mount is refused")
	w.want.Stale = map[string]error{"dev": fmt.Errorf("%w; it is kept as it was declared last", state.ErrMount)}
}

func (w *world) without(part state.ComponentName) {
	w.have.Containers = slices.DeleteFunc(w.have.Containers, func(c observe.ObservedContainer) bool { return c.Component() == part })
}

func (w *world) plan() Plan {
	return Compute(w.want, w.have, w.settings.Owner, w.settings.StateDir, w.prune)
}

// docker is what a Docker engine can do.
var docker = engine.Capabilities{
	UpdateLimits: true, Unpause: true, Reconnect: true, Reload: true,
	Commands: engine.Commands{RemoveNetwork: "docker network rm %s"},
}

// restarts gives the agent a restart policy.
func (w *world) restarts(t *testing.T, policy v1alpha1.Restart) {
	t.Helper()
	agent := *w.manifest.Spec.Agent
	agent.Restart = policy
	w.manifest.Spec.Agent = &agent
	w.desire(t)
}

// endAgent has the agent end.
func (w *world) endAgent(t *testing.T, policy v1alpha1.Restart, code int) {
	t.Helper()
	w.restarts(t, policy)
	c := w.container(state.Agent)
	c.State, c.ExitCode, c.StartedAt, c.EndedAt = engine.StateExited, code, time.Unix(100, 0), time.Unix(200, 0)
}

// remember puts on record what a plan learns of the agent's runs.
func (w *world) remember() { w.want.Bottles[0].Runs = *w.plan().Bottles[0].Runs }

// retried is what is known of an agent that was started again so often.
func (w *world) retried(n int64) state.AgentRuns {
	return state.AgentRuns{
		Declaration: state.DeclarationOf(w.want.Bottles[0].Components[3].Container), Retries: n, Retried: state.Run{ContainerID: "before"},
	}
}
