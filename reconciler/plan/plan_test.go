package plan

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// world is what one planner test starts from: the declaration, and an engine on which all is as declared.
type world struct {
	manifest manifests.Bottle
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
		manifest: manifests.Bottle{
			Metadata: manifests.Metadata{Name: "dev", Labels: map[string]string{"team": "core"}},
			Source:   manifests.Source{Path: "/etc/bottles/dev.yaml", Line: 1},
			Spec: manifests.Spec{
				Supervise: true,
				Egress:    manifests.Egress{Allowlist: []string{"api.github.com", "*.npmjs.org"}},
				CredProxy: &manifests.CredProxy{Routes: []manifests.Route{{
					Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthScheme: "Bearer",
					Token: manifests.SecretRef{Env: "TOKEN"}, Roles: []manifests.Role{manifests.RoleAnthropicBaseURL},
				}}},
				Agent: &manifests.Agent{
					Image: "my-agent:latest", Command: []string{"claude"}, Env: map[string]string{"LANG": "C.UTF-8"},
					Mounts:    []manifests.Mount{{Source: "/home/me/work", Target: "/work"}},
					Resources: manifests.Resources{Memory: "2Gi", CPUs: "2", Pids: 512},
				},
			},
		},
		settings: state.Settings{
			Owner: "default", Prefix: "claude-bottle", StateDir: "/var/lib/bottled", RunDir: "/run/bottled/x", Pool: state.DefaultPool,
			PipelockImage: state.Builtin, CredProxyImage: state.Builtin, SuperviseImage: state.Builtin, BuiltinImage: "bottled:0123456789abcdef",
			User: "65532:65532",
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
	tokens := map[manifests.SecretRef]state.Content{}
	if w.manifest.Spec.CredProxy != nil {
		for _, r := range w.manifest.Spec.CredProxy.Routes {
			tokens[r.Token] = state.NewContent([]byte(w.token))
		}
	}
	nets := state.Subnets{Internal: netip.MustParsePrefix("10.213.1.0/28"), Egress: netip.MustParsePrefix("10.213.1.16/28")}
	mounts := map[string]resolve.MountSource{"/home/me/work": {Path: "/home/me/work", ID: safepath.ID{Ino: w.workInode}, Directory: true}}
	b, err := render.Bottle(w.manifest, resolve.Inputs{Tokens: tokens, Mounts: mounts, Build: w.build}, nets, w.settings)
	if err != nil {
		t.Fatal(err)
	}
	w.want = Desired{Bottles: []state.Bottle{b}}
	return b
}

// converged is an engine on which everything is exactly as declared.
func converged(b state.Bottle) observe.Observed {
	have := observe.Observed{Images: map[string]string{}, Dirs: map[string]map[string]state.ObservedFile{}}
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
	for _, d := range b.Dirs {
		have.Dirs[d.Path] = map[string]state.ObservedFile{}
		for name, f := range d.Files {
			have.Dirs[d.Path][name] = state.ObservedFile{Content: f.Content, Mode: f.Mode}
		}
	}
	return have
}

// builds has the agent's image built from a context with this digest.
func (w *world) builds(t *testing.T, digest string) {
	t.Helper()
	agent := *w.manifest.Spec.Agent
	agent.Image, agent.Build = "", &manifests.Build{Context: "/etc/bottles/agent", Dockerfile: "Dockerfile", Network: manifests.BuildNetworkNone}
	w.manifest.Spec.Agent = &agent
	w.build = &buildcontext.Context{Source: agent.Build.Source(), Digest: strings.Repeat(digest, 64), Text: []byte("FROM scratch\n# " + digest + "\n")}
	w.desire(t)
}

func (w *world) container(part state.ComponentName) *observe.ObservedContainer {
	for i := range w.have.Containers {
		if w.have.Containers[i].Part() == part {
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
	w.have.Containers = slices.DeleteFunc(w.have.Containers, func(c observe.ObservedContainer) bool { return c.Part() == part })
}

func (w *world) plan() Plan {
	return Compute(w.want, w.have, w.settings.Owner, w.settings.StateDir, w.prune)
}

// text is the plan as people see it, and below it the steps as the executor gets them.
func text(t *testing.T, p Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b, func(_, text string) string { return text }); err != nil {
		t.Fatal(err)
	}
	b.WriteString("---\n")
	for _, bottle := range p.Bottles {
		for _, s := range bottle.Steps {
			fmt.Fprintf(&b, "%s %2d %s %s (%s)\n", bottle.Slug, s.Stage, s.Action, s.Object, s.Cause)
		}
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	extra := func(name string) engine.Endpoint { return engine.Endpoint{Network: name, NetworkID: "x", ID: "y"} }
	cases := map[string]func(*testing.T, *world){
		"as-declared": func(*testing.T, *world) {},
		"nothing-there": func(_ *testing.T, w *world) {
			w.have = observe.Observed{Dirs: map[string]map[string]state.ObservedFile{}}
		},
		"images-there": func(_ *testing.T, w *world) {
			w.have = observe.Observed{Dirs: map[string]map[string]state.ObservedFile{}, Images: w.have.Images}
		},
		"agent-missing":    func(_ *testing.T, w *world) { w.without(state.Agent) },
		"pipelock-missing": func(_ *testing.T, w *world) { w.without(state.Pipelock) },
		"agent-exited": func(_ *testing.T, w *world) {
			w.container(state.Agent).State = engine.StateExited
			w.container(state.Agent).ExitCode = 3
		},
		"cred-proxy-oom": func(_ *testing.T, w *world) {
			c := w.container(state.CredProxy)
			c.State, c.OOMKilled = engine.StateExited, true
		},
		"agent-created":      func(_ *testing.T, w *world) { w.container(state.Agent).State = engine.StateCreated },
		"supervise-paused":   func(_ *testing.T, w *world) { w.container(state.Supervise).State = engine.StatePaused },
		"pipelock-dead":      func(_ *testing.T, w *world) { w.container(state.Pipelock).State = "dead" },
		"pipelock-unhealthy": func(_ *testing.T, w *world) { w.container(state.Pipelock).Health = engine.HealthUnhealthy },
		"silent-sidecar":     func(_ *testing.T, w *world) { w.container(state.CredProxy).Config = "" },
		"old-configuration":  func(_ *testing.T, w *world) { w.container(state.CredProxy).Config = "sha256:old" },
		"extra-network": func(_ *testing.T, w *world) {
			c := w.container(state.Agent)
			c.Endpoints = append(c.Endpoints, extra("bridge"))
		},
		"egress-disconnected": func(_ *testing.T, w *world) {
			c := w.container(state.Pipelock)
			c.Endpoints = c.Endpoints[:1]
		},
		"stopped-and-disconnected": func(_ *testing.T, w *world) {
			c := w.container(state.Agent)
			c.State, c.Endpoints = engine.StateExited, nil
		},
		"alias-lost": func(_ *testing.T, w *world) { w.container(state.Supervise).Container.Networks[0].Aliases = nil },
		"alias-added": func(_ *testing.T, w *world) {
			w.container(state.Agent).Container.Networks[0].Aliases = []string{"agent", "pipelock"}
		},
		"limits-changed": func(_ *testing.T, w *world) {
			w.container(state.Agent).Container.Limits = state.Limits{Memory: 8 << 30, NanoCPUs: 2e9, Pids: 512}
		},
		"restart-policy-changed": func(_ *testing.T, w *world) { w.container(state.Agent).Container.Restart = "always" },
		"limit-set-where-none": func(t *testing.T, w *world) {
			w.manifest.Spec.Agent.Resources = manifests.Resources{}
			w.have = converged(w.desire(t))
			w.container(state.Agent).Container.Limits.Memory = 64 << 20
		},
		"other-image-behind-tag": func(_ *testing.T, w *world) { w.have.Images["my-agent:latest"] = "sha256:2222222222222222" },
		"agent-built":            func(t *testing.T, w *world) { t.Helper(); w.builds(t, "1"); w.without(state.Agent) },
		"agent-built-of-other": func(t *testing.T, w *world) {
			t.Helper()
			w.builds(t, "1")
			w.have = converged(w.desire(t))
			w.builds(t, "2")
		},
		"agent-built-before": func(t *testing.T, w *world) {
			t.Helper()
			w.builds(t, "1")
			w.have = converged(w.desire(t))
			w.builds(t, "2")
			w.have.Images[w.build.Ref()] = "sha256:2222222222222222"
		},
		"built-image-removed": func(t *testing.T, w *world) {
			t.Helper()
			w.builds(t, "1")
			w.have = converged(w.desire(t))
			delete(w.have.Images, w.build.Ref())
		},
		"tag-removed":     func(_ *testing.T, w *world) { delete(w.have.Images, "my-agent:latest") },
		"command-differs": func(_ *testing.T, w *world) { w.container(state.Agent).Container.Command = []string{"sh"} },
		"env-differs":     func(_ *testing.T, w *world) { w.container(state.Agent).Container.Env["HTTP_PROXY"] = "" },
		"env-added":       func(_ *testing.T, w *world) { w.container(state.Agent).Container.Env["LD_PRELOAD"] = "/x.so" },
		"mount-added": func(_ *testing.T, w *world) {
			c := w.container(state.Agent)
			c.Container.Mounts = append(slices.Clone(c.Container.Mounts), state.Mount{Source: "/", Target: "/host"})
		},
		"mount-source-replaced": func(t *testing.T, w *world) { w.workInode = 3; w.desire(t) },
		"blocked-agent-exited": func(_ *testing.T, w *world) {
			w.container(state.Agent).State = engine.StateExited
			w.block()
		},
		"blocked-agent-missing": func(_ *testing.T, w *world) {
			w.without(state.Agent)
			w.block()
		},
		"blocked-agent-on-another-network": func(_ *testing.T, w *world) {
			c := w.container(state.Agent)
			c.Endpoints = append(c.Endpoints, engine.Endpoint{Network: "bridge", NetworkID: "id-of-bridge", ID: "x"})
			c.Container.Command = []string{"sh"}
			w.block()
		},
		"user-differs":     func(_ *testing.T, w *world) { w.container(state.Pipelock).Container.User = "0" },
		"capability-added": func(_ *testing.T, w *world) { w.container(state.Agent).Container.CapAdd = []string{"NET_RAW"} },
		"privileged":       func(_ *testing.T, w *world) { w.container(state.Agent).Container.Extras = []string{"privileged"} },
		"dns-differs":      func(_ *testing.T, w *world) { w.container(state.Agent).Container.DNS = nil },
		"renamed":          func(_ *testing.T, w *world) { w.container(state.Supervise).Name = "other" },
		"hash-differs":     func(_ *testing.T, w *world) { w.container(state.Supervise).Labels[state.LabelHash] = "old" },
		"manifest-moved": func(t *testing.T, w *world) {
			w.manifest.Source.Path = "/elsewhere/dev.yaml"
			w.desire(t)
		},
		"second-agent": func(_ *testing.T, w *world) {
			c := *w.container(state.Agent)
			c.ID, c.Name = "id-of-impostor", "impostor"
			w.have.Containers = append([]observe.ObservedContainer{c}, w.have.Containers...)
		},
		"allowlist-changed": func(t *testing.T, w *world) {
			w.manifest.Spec.Egress.Allowlist = []string{"api.github.com", "pypi.org"}
			w.desire(t)
		},
		"private-cidr-added": func(t *testing.T, w *world) {
			w.manifest.Spec.Egress.PrivateCIDRs = []string{"192.168.7.0/24"}
			w.desire(t)
		},
		"token-rotated": func(t *testing.T, w *world) { w.token = "b"; w.desire(t) },
		"route-added": func(t *testing.T, w *world) {
			cp := *w.manifest.Spec.CredProxy
			cp.Routes = append(slices.Clone(cp.Routes), manifests.Route{Path: "/npm/", Upstream: "https://registry.npmjs.org", Token: manifests.SecretRef{Env: "NPM"}})
			w.manifest.Spec.CredProxy = &cp
			w.desire(t)
		},
		"supervise-turned-off": func(t *testing.T, w *world) { w.manifest.Spec.Supervise = false; w.desire(t) },
		"agent-turned-off":     func(t *testing.T, w *world) { w.manifest.Spec.Agent = nil; w.desire(t) },
		"foreign-pipelock": func(t *testing.T, w *world) {
			w.settings.PipelockImage = "ghcr.io/luckypipewrench/pipelock:2.3.0"
			w.desire(t)
		},
		"foreign-pipelock-starting": func(t *testing.T, w *world) {
			w.settings.PipelockImage = "ghcr.io/luckypipewrench/pipelock:2.3.0"
			w.have = converged(w.desire(t))
			w.container(state.Pipelock).Health = engine.HealthStarting
		},
		"internal-network-missing": func(_ *testing.T, w *world) {
			w.have.Networks = w.have.Networks[1:]
			for i := range w.have.Containers {
				w.have.Containers[i].Endpoints = w.have.Containers[i].Endpoints[1:]
			}
		},
		"network-not-internal": func(_ *testing.T, w *world) { w.have.Networks[0].Internal = false },
		"network-open-to-host": func(_ *testing.T, w *world) { w.have.Networks[0].Isolated = false },
		"network-with-ipv6":    func(_ *testing.T, w *world) { w.have.Networks[0].IPv6 = true },
		"network-routed": func(_ *testing.T, w *world) {
			w.have.Networks[1].Extras = []string{"com.docker.network.bridge.gateway_mode_ipv4=routed"}
		},
		"network-made-again": func(_ *testing.T, w *world) { w.have.Networks[1].ID = "another" },
		"second-network": func(_ *testing.T, w *world) {
			n := w.have.Networks[0]
			n.ID = "twin"
			w.have.Networks = append(w.have.Networks, n)
		},
		"old-network-of-bottle": func(_ *testing.T, w *world) {
			n := w.have.Networks[0]
			n.Name = "old-prefix-net-dev"
			w.have.Networks = append(w.have.Networks, n)
		},
		"foreign-network": func(_ *testing.T, w *world) {
			w.have.Networks[0].Labels = nil
		},
		"network-of-other-owner": func(_ *testing.T, w *world) {
			w.have.Networks[0].Labels = map[string]string{state.LabelOwner: "ci"}
		},
		"other-state-dir": func(_ *testing.T, w *world) {
			w.container(state.Agent).Labels[state.LabelStateDir] = "/root/.local/state/bottled"
		},
		"gone-from-other-state-dir": func(_ *testing.T, w *world) {
			w.settings.StateDir = "/elsewhere"
			w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
		},
		"directory-deleted": func(_ *testing.T, w *world) { delete(w.have.Dirs, "/var/lib/bottled/bottles/dev/pipelock") },
		"file-edited": func(_ *testing.T, w *world) {
			w.have.Dirs["/var/lib/bottled/bottles/dev/pipelock"]["pipelock.yaml"] = state.ObservedFile{Content: state.NewContent([]byte("mode: audit\n")), Mode: 0o444}
		},
		"file-mode-changed": func(_ *testing.T, w *world) {
			f := w.have.Dirs["/run/bottled/x/dev/tokens"]["env-TOKEN"]
			f.Mode = 0o644
			w.have.Dirs["/run/bottled/x/dev/tokens"]["env-TOKEN"] = f
		},
		"file-planted": func(_ *testing.T, w *world) {
			w.have.Dirs["/run/bottled/x/dev/tokens"]["other"] = state.ObservedFile{}
		},
		"manifest-gone": func(_ *testing.T, w *world) {
			w.want = Desired{Bottles: nil, Failed: map[string]error{"other": reconciler.ErrInvalid}}
		},
		"manifest-gone-paused": func(_ *testing.T, w *world) {
			w.container(state.Agent).State = engine.StatePaused
			w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
		},
		"manifest-invalid": func(_ *testing.T, w *world) { w.want = Desired{Failed: map[string]error{"dev": reconciler.ErrInvalid}} },
		"token-missing": func(_ *testing.T, w *world) {
			w.want = Desired{Failed: map[string]error{"dev": errors.New("environment variable TOKEN is not set")}}
		},
		"no-manifest-at-all":     func(_ *testing.T, w *world) { w.want = Desired{} },
		"no-manifest-prune-all":  func(_ *testing.T, w *world) { w.want, w.prune = Desired{}, PruneAll },
		"no-manifest-prune-none": func(_ *testing.T, w *world) { w.want, w.prune = Desired{}, PruneNone },
		"unread-holds-prune":     func(_ *testing.T, w *world) { w.want = Desired{Unread: []string{"/etc/bottles"}} },
		"unreadable-holds-prune": func(_ *testing.T, w *world) { w.want = Desired{Unknown: []string{"/etc/bottles/x.yaml"}} },
		"unreadable-despite-all": func(_ *testing.T, w *world) {
			w.want, w.prune = Desired{Unknown: []string{"/etc/bottles/x.yaml"}}, PruneAll
		},
		"suspended": func(t *testing.T, w *world) {
			w.manifest.Spec.Suspend = true
			w.container(state.CredProxy).State = engine.StatePaused
			w.without(state.Supervise)
			w.desire(t)
		},
		"suspended-already": func(t *testing.T, w *world) {
			w.manifest.Spec.Suspend = true
			w.have = converged(w.desire(t))
			for i := range w.have.Containers {
				w.have.Containers[i].State = engine.StateExited
			}
		},
		"resumed": func(_ *testing.T, w *world) {
			for i := range w.have.Containers {
				w.have.Containers[i].State, w.have.Containers[i].ExitCode = engine.StateExited, 143
			}
		},
		"manifest-invalid-last-good": func(_ *testing.T, w *world) {
			w.want.Stale = map[string]error{"dev": reconciler.ErrInvalid}
			w.container(state.Agent).State = engine.StatePaused
		},
		"session": func(t *testing.T, w *world) { w.session(t) },
		"session-of-an-older-declaration": func(t *testing.T, w *world) {
			w.session(t)
			w.manifest.Spec.Agent = nil
			w.desire(t)
		},
		"session-ending": func(t *testing.T, w *world) {
			c := w.session(t)
			c.State, c.Endpoints = engine.StateExited, nil
		},
		"session-extra-network": func(t *testing.T, w *world) {
			c := w.session(t)
			c.Endpoints = append(c.Endpoints, extra("bridge"), extra("claude-bottle-egress-dev"))
		},
		"session-takes-an-alias": func(t *testing.T, w *world) { w.session(t).Container.Networks[0].Aliases = []string{"pipelock"} },
		"session-with-capability": func(t *testing.T, w *world) {
			c := w.session(t)
			c.Container.CapAdd, c.Container.Extras = []string{"NET_ADMIN"}, []string{"net=host"}
		},
		"session-on-old-network": func(t *testing.T, w *world) { w.session(t).Endpoints[0].NetworkID = "gone" },
		"session-orphaned":       func(t *testing.T, w *world) { w.session(t).Orphan = true },
		"session-suspended": func(t *testing.T, w *world) {
			w.session(t)
			w.manifest.Spec.Suspend = true
			w.desire(t)
		},
		"session-manifest-gone": func(t *testing.T, w *world) {
			w.session(t)
			w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
		},
		"session-network-replaced": func(t *testing.T, w *world) {
			w.session(t)
			w.have.Networks[0].Internal = false
		},
		"several-things-at-once": func(t *testing.T, w *world) {
			w.container(state.Agent).State = engine.StatePaused
			w.container(state.Agent).Endpoints = append(w.container(state.Agent).Endpoints, extra("bridge"))
			w.container(state.Agent).Container.Limits.Pids = 1
			w.without(state.CredProxy)
			w.manifest.Spec.Egress.Allowlist = nil
			w.desire(t)
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(t, w)
			golden(t, name, text(t, w.plan()))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "plan", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("plan differs from %s (-want +got):\n%s", path, diff)
	}
}

// Whatever is wrong, carrying the plan out in the mind and planning again finds no secret in any text.
func TestPlanShowsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.token = "the-secret-token"
	w.desire(t)
	p := w.plan()
	if got := text(t, p) + fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(got, "the-secret-token") || !strings.Contains(got, "(another secret)") {
		t.Errorf("the plan shows a secret, or nothing of it:\n%s", got)
	}
}

func TestPruneGuard(t *testing.T) {
	for _, c := range []struct {
		running, gone int
		policy        PrunePolicy
		held          bool
	}{
		{10, 1, PruneGuarded, false},
		{2, 1, PruneGuarded, false},
		{3, 2, PruneGuarded, false},
		{5, 3, PruneGuarded, true},
		{6, 3, PruneGuarded, false},
		{10, 6, PruneGuarded, true},
		{10, 6, PruneAll, false},
		{10, 1, PruneNone, true},
	} {
		t.Run(fmt.Sprintf("%d-of-%d-%s", c.gone, c.running, c.policy), func(t *testing.T) {
			w := newWorld(t)
			w.prune, w.want = c.policy, Desired{Failed: map[string]error{}}
			one := w.have.Containers[0]
			w.have = observe.Observed{}
			for i := range c.running {
				slug := fmt.Sprintf("b%02d", i)
				o := one
				o.Labels = maps.Clone(one.Labels)
				o.Labels[state.LabelSlug] = slug
				w.have.Containers = append(w.have.Containers, o)
				if i >= c.gone {
					w.want.Failed[slug] = reconciler.ErrInvalid
				}
			}
			p := w.plan()
			removed := 0
			for _, b := range p.Bottles {
				if b.Remove {
					removed++
				}
			}
			if c.held && (removed != 0 || len(p.Held) != c.gone) || !c.held && (removed != c.gone || len(p.Held) != 0) {
				t.Errorf("held %v, removed %d; want held: %v", p.Held, removed, c.held)
			}
			if asked := p.PruneErr != nil; asked != (c.held && c.policy == PruneGuarded) {
				t.Errorf("error: %v", p.PruneErr)
			}
		})
	}
}
