package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// TestGrace: a container is stopped with the grace period that it was created with, whatever the manifest says now.
func TestGrace(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		action Action
		grace  time.Duration
	}{
		"suspended": {func(w *world) { w.manifest.Spec.Suspend = true; w.desire(t) }, Stop, time.Minute},
		"replaced": {func(w *world) {
			agent := *w.manifest.Spec.Agent
			agent.Command, agent.StopGracePeriod = []string{"codex"}, "3s"
			w.manifest.Spec.Agent = &agent
			w.desire(t)
		}, Remove, time.Minute},
		"restarted": {func(w *world) {
			w.want.Bottles[0].Restart = map[state.ComponentName]state.Run{state.Agent: runOf(*w.container(state.Agent))}
		}, Stop, time.Minute},
		"pruned": {func(w *world) { w.want, w.prune = Desired{}, PruneAll }, Remove, time.Minute},
		"the default": {func(w *world) {
			w.container(state.Agent).Container.StopGrace = 0
			w.manifest.Spec.Suspend = true
			w.desire(t)
		}, Stop, 10 * time.Second},
	} {
		w := newWorld(t)
		w.manifest.Spec.Agent.StopGracePeriod = "1m"
		w.have = converged(w.desire(t))
		c.change(w)
		found := false
		for _, s := range w.plan().Bottles[0].Steps {
			if s.Component == state.Agent && s.Action == c.action {
				found = true
				if s.Grace != c.grace {
					t.Errorf("%s: its grace period is %s, want %s", name, s.Grace, c.grace)
				}
			}
		}
		if !found {
			t.Errorf("%s: the agent has no step %s", name, c.action)
		}
	}
}

// TestSessionRights: a session has no device that the agent must not have any more.
func TestSessionRights(t *testing.T) {
	w := newWorld(t)
	device := state.Device{Source: "/dev/kvm", Target: "/dev/kvm", Permissions: "rw"}
	w.want.Bottles[0].Components[3].Container.Devices = []state.Device{device}
	w.have = converged(w.want.Bottles[0])
	w.session(t)
	if p := w.plan(); p.Changes() {
		t.Errorf("a session with the agent's device: %+v", p.Bottles[0].Steps)
	}
	for name, change := range map[string]func(*state.Container){
		"another device": func(c *state.Container) {
			c.Devices = []state.Device{{Source: "/dev/sda", Target: "/dev/kvm", Permissions: "rw"}}
		},
		"GPUs": func(c *state.Container) { c.GPUs = state.GPUs{Count: state.AllGPUs} },
	} {
		w.have.Containers = w.have.Containers[:len(w.have.Containers)-1]
		change(&w.session(t).Container)
		steps := w.plan().Bottles[0].Steps
		if len(steps) != 1 || steps[0].Action != Remove || steps[0].Component != state.Session {
			t.Errorf("%s: %+v", name, steps)
		}
	}
}

// TestUnwritableMounts warns by the user that the container has, once that is known.
func TestUnwritableMounts(t *testing.T) {
	owned := func(uid int) state.Owner { return state.Owner{Known: true, UID: uid, GID: uid, Mode: 0o755} }
	for name, c := range map[string]struct {
		user, images string // of the manifest, and of the image
		owner        state.Owner
		readOnly     bool
		missing      bool
		want         string
	}{
		"root":                       {owner: owned(1000), want: "agent: root, which has no capabilities"},
		"the image's user":           {images: "1001", owner: owned(1000), want: "agent: user 1001 can't write to /work"},
		"the image's user, owner":    {images: "1000", owner: owned(1000)},
		"a user of the image's":      {images: "node", owner: owned(1000)},
		"no container yet":           {missing: true, owner: owned(1000)},
		"no container, but a number": {missing: true, user: "1001", owner: owned(1000), want: "agent: user 1001 can't write"},
		"read-only":                  {readOnly: true, owner: owned(1000)},
		"auto":                       {user: v1alpha1.UserAuto, images: "1000", owner: owned(0), want: "agent: /home/me/work belongs to root, so spec.agent.user: auto"},
		"not known":                  {},
	} {
		w := newWorld(t)
		w.manifest.Spec.Agent.User = c.user
		b := w.desire(t)
		mount := &b.Components[3].Container.Mounts[0]
		mount.Owner, mount.ReadOnly = c.owner, c.readOnly
		w.have = converged(b)
		if c.user == "" || c.user == v1alpha1.UserAuto {
			w.container(state.Agent).Container.User = c.images
		}
		if c.missing {
			w.without(state.Agent)
		}
		p := w.plan().Bottles[0]
		got := strings.Join(p.Warnings, "\n")
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: warnings %q, want %q", name, got, c.want)
		}
		if status := StatusOf(p, nil); strings.Join(status.Warnings, "\n") != got {
			t.Errorf("%s: the status has %q", name, status.Warnings)
		}
	}
}
