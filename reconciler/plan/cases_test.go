package plan

import (
	"errors"
	"slices"
	"testing"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

func extra(network string) engine.Endpoint {
	return engine.Endpoint{Network: network, NetworkID: "x", ID: "y"}
}

// cases are changes of a world in which all is as declared.
var cases = map[string]func(*testing.T, *world){
	"as-declared": func(*testing.T, *world) {},
	"nothing-there": func(_ *testing.T, w *world) {
		w.have = observe.Observed{Capabilities: docker, Dirs: map[string]map[string]state.ObservedFile{}}
	},
	"images-there": func(_ *testing.T, w *world) {
		w.have = observe.Observed{Capabilities: docker, Dirs: map[string]map[string]state.ObservedFile{}, Images: w.have.Images}
	},
	"agent-missing":    func(_ *testing.T, w *world) { w.without(state.Agent) },
	"pipelock-missing": func(_ *testing.T, w *world) { w.without(state.Pipelock) },
	"agent-exited": func(_ *testing.T, w *world) {
		w.container(state.Agent).State = engine.StateExited
		w.container(state.Agent).ExitCode = 3
	},
	"agent-completed": func(t *testing.T, w *world) { w.endAgent(t, v1alpha1.RestartOnFailure, 0) },
	"agent-completed-pruned": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.remember()
		w.without(state.Agent)
	},
	"agent-completed-pruned-restarted": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.remember()
		w.want.Bottles[0].Restart = map[state.ComponentName]state.Run{state.Agent: w.want.Bottles[0].Runs.Outcome.Run}
		w.without(state.Agent)
	},
	"agent-completed-declared-otherwise": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.remember()
		agent := *w.manifest.Spec.Agent
		agent.Command = []string{"codex"}
		w.manifest.Spec.Agent = &agent
		runs := w.want.Bottles[0].Runs
		w.desire(t)
		w.want.Bottles[0].Runs = runs
	},
	"agent-completed-network-remade": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.have.Networks[0].Internal = false
	},
	"agent-completed-mount-source-replaced": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.workInode = 3
		w.desire(t)
	},
	"agent-completed-restarted": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.want.Bottles[0].Restart = map[state.ComponentName]state.Run{state.Agent: runOf(*w.container(state.Agent))}
	},
	"agent-completed-child-oom": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.container(state.Agent).OOMKilled = true
	},
	"agent-completed-always": func(t *testing.T, w *world) { w.endAgent(t, v1alpha1.RestartAlways, 0) },
	"agent-failed-never":     func(t *testing.T, w *world) { w.endAgent(t, v1alpha1.RestartNever, 1) },
	"agent-failed-limit-reached": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 1)
		w.want.Bottles[0].Runs = w.retried(5)
	},
	"agent-failed-limit-not-yet": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 1)
		w.want.Bottles[0].Runs = w.retried(4)
	},
	"agent-interrupted": func(t *testing.T, w *world) {
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.want.Bottles[0].Runs.Interrupted = runOf(*w.container(state.Agent))
	},
	"agent-unhealthy-never": func(t *testing.T, w *world) {
		w.restarts(t, v1alpha1.RestartNever)
		w.container(state.Agent).Health = engine.HealthUnhealthy
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
		c.State, c.ExitCode, c.Endpoints = engine.StateExited, 143, nil
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
		w.manifest.Spec.Agent.Resources = v1alpha1.Resources{}
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
	"volume-added": func(t *testing.T, w *world) { w.withVolumes(t) },
	"volumes-there": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.without(state.Agent)
	},
	"volume-missing": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.have.Volumes = w.have.Volumes[1:]
		w.without(state.Agent)
	},
	"volume-missing-while-mounted": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.have.Volumes = nil
	},
	"volume-elsewhere": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.container(state.Agent).Container.Volumes = []state.VolumeMount{{Volume: "somebody-elses", Target: "/home/agent"}}
	},
	"volume-of-the-agent-finished": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.endAgent(t, v1alpha1.RestartOnFailure, 0)
		w.remember()
		w.without(state.Agent)
		w.have.Volumes = nil
	},
	"volume-no-longer-declared": func(t *testing.T, w *world) {
		declared := w.manifest.Spec.Agent
		w.have = converged(w.withVolumes(t))
		w.manifest.Spec.Agent = declared
		w.desire(t)
	},
	"volumes-manifest-gone": func(t *testing.T, w *world) {
		w.have = converged(w.withVolumes(t))
		w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
	},
	"volumes-left-manifest-gone": func(t *testing.T, w *world) {
		w.have = observe.Observed{Capabilities: docker, Volumes: converged(w.withVolumes(t)).Volumes}
		w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
	},
	"volume-kept-manifest-gone": func(t *testing.T, w *world) {
		w.have = observe.Observed{Capabilities: docker, Volumes: converged(w.withVolumes(t)).Volumes[:1]}
		w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
	},
	"services-nothing-there": func(t *testing.T, w *world) {
		w.withServices(t)
		w.have = observe.Observed{Capabilities: docker, Dirs: map[string]map[string]state.ObservedFile{}}
	},
	"services-added": func(t *testing.T, w *world) { w.withServices(t) },
	"services-there": func(t *testing.T, w *world) { w.have = converged(w.withServices(t)) },
	"service-removed": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.manifest.Spec.Services = w.manifest.Spec.Services[1:]
		w.desire(t)
	},
	"service-image-changed": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.manifest.Spec.Services = slices.Clone(w.manifest.Spec.Services)
		w.manifest.Spec.Services[0].Image = "postgres:18"
		w.desire(t)
	},
	"service-starting": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.container(db).Health = engine.HealthStarting
		w.without(state.Agent)
	},
	"service-unhealthy": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.container(db).Health = engine.HealthUnhealthy
	},
	"service-completed": func(t *testing.T, w *world) { // which is no reason not to start it again
		w.have = converged(w.withServices(t))
		w.container(cache).State = engine.StateExited
	},
	"service-on-another-network": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		c := w.container(db)
		c.Endpoints = append(c.Endpoints, extra("claude-bottle-egress-dev"))
	},
	"services-suspended": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.manifest.Spec.Suspend = true
		w.desire(t)
	},
	"services-manifest-gone": func(t *testing.T, w *world) {
		w.have = converged(w.withServices(t))
		w.want = Desired{Failed: map[string]error{"other": reconciler.ErrInvalid}}
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
	"upgraded":         func(t *testing.T, w *world) { w.settings.BuiltinImage = "bottled:fedcba9876543210"; w.desire(t) },
	"name-of-another": func(_ *testing.T, w *world) {
		w.without(state.Agent)
		w.container(state.Supervise).Name = "claude-bottle-agent-dev"
	},
	"renamed":      func(_ *testing.T, w *world) { w.container(state.Supervise).Name = "other" },
	"hash-differs": func(_ *testing.T, w *world) { w.container(state.Supervise).Labels[state.LabelHash] = "old" },
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
		w.manifest.Spec.Egress.Allowlist = v1alpha1.Allow("api.github.com", "pypi.org")
		w.desire(t)
	},
	"private-cidr-added": func(t *testing.T, w *world) {
		w.manifest.Spec.Egress.PrivateCIDRs = []string{"192.168.7.0/24"}
		w.desire(t)
	},
	"token-rotated": func(t *testing.T, w *world) { w.token = "b"; w.desire(t) },
	"route-added": func(t *testing.T, w *world) {
		cp := *w.manifest.Spec.CredProxy
		cp.Routes = append(slices.Clone(cp.Routes), route.Route{Path: "/npm/", Upstream: "https://registry.npmjs.org", Token: route.SecretRef{Env: "NPM"}})
		w.manifest.Spec.CredProxy = &cp
		w.desire(t)
	},
	"supervise-turned-off": func(t *testing.T, w *world) { w.manifest.Spec.Supervise = false; w.desire(t) },
	"agent-turned-off":     func(t *testing.T, w *world) { w.manifest.Spec.Agent = nil; w.desire(t) },
	"foreign-pipelock": func(t *testing.T, w *world) {
		w.settings.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
		w.desire(t)
	},
	"foreign-pipelock-starting": func(t *testing.T, w *world) {
		w.settings.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
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
	"no-manifest-partial":    func(_ *testing.T, w *world) { w.want, w.prune = Desired{}, PrunePartial },
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
