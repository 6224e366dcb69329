package sim

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// withVolumes is a bottle whose agent has a volume that stays and one that goes with the bottle.
func withVolumes(slug string) v1alpha1.Bottle {
	b, no := small(slug), false
	b.Spec.Agent.Volumes = []v1alpha1.Volume{{Name: "home", Target: "/home/agent"}, {Name: "scratch", Target: "/scratch", Retain: &no}}
	return b
}

// hasVolumes returns an error unless both bottles have their volumes, with the content from before.
func (w *world) hasVolumes() error {
	return w.volumesAre("a/home", "a/scratch", "b/home", "b/scratch")
}

// keptVolumes returns an error unless exactly the volumes are left that stay when bottle a is removed.
func (w *world) keptVolumes() error { return w.volumesAre("a/home", "b/home", "b/scratch") }

func (w *world) volumesAre(want ...string) error {
	have, wanted := w.hands.Volumes(), map[string]string{}
	for _, v := range want {
		slug, name, _ := strings.Cut(v, "/")
		engineName := state.VolumeName(prefix, name, slug)
		wanted[engineName] = have[engineName]
		if before := w.before[engineName]; before != "" {
			wanted[engineName] = before
		}
	}
	if !maps.Equal(have, wanted) {
		return fmt.Errorf("the volumes are %v, want %v", have, wanted)
	}
	return nil
}

// check fails the test for an error.
func (w *world) must(when string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Errorf("%s: %v", when, err)
	}
}

// TestVolumesOutliveContainers keeps what is in a volume whatever becomes of the agent's container, until the bottle goes.
func TestVolumesOutliveContainers(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withVolumes("a"), withVolumes("b"))
		w.run(nil)
		w.settle(time.Minute)
		w.before = w.hands.Volumes()
		agent := name(state.Agent, "a")
		for _, do := range []struct {
			when string
			do   func()
		}{
			{"the agent is removed", func() { w.must("remove", w.hands.Remove(agent)) }},
			{"the agent is replaced", func() { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent.Image = agent2 }) }},
			{"the controller is restarted", func() { w.run(nil) }},
			{"the bottle is suspended", func() { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = true }) }},
			{"the bottle is resumed", func() { w.edit(func(b *v1alpha1.Bottle) { b.Spec.Suspend = false }) }},
		} {
			do.do()
			w.settle(time.Minute)
			w.must(do.when, w.hasVolumes())
		}
		w.withdraw("a")
		w.settle(time.Minute)
		w.must("the bottle is removed", w.keptVolumes())
		w.declare(withVolumes("a"))
		w.settle(time.Minute)
		delete(w.before, state.VolumeName(prefix, "scratch", "a")) // it is a new one
		w.must("the bottle is back", w.hasVolumes())
	})
}

// TestVolumeRetentionFollowsTheManifest: what the last declaration says counts, not the one that the volume was created by.
func TestVolumeRetentionFollowsTheManifest(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withVolumes("a"), withVolumes("b"))
		w.run(nil)
		w.settle(time.Minute)
		w.edit(func(b *v1alpha1.Bottle) {
			yes, no := true, false
			b.Spec.Agent = &v1alpha1.Agent{Image: agent1, Volumes: []v1alpha1.Volume{
				{Name: "home", Target: "/home/agent", Retain: &no}, {Name: "scratch", Target: "/scratch", Retain: &yes},
			}}
		})
		w.settle(time.Minute)
		w.withdraw("a")
		w.settle(time.Minute)
		w.must("the bottle is removed", w.volumesAre("a/scratch", "b/home", "b/scratch"))
		w.run(nil) // a controller that never knew the bottle
		w.pass(time.Hour)
		w.must("an hour later", w.volumesAre("a/scratch", "b/home", "b/scratch"))
	})
}

// TestUndeclaredVolumeIsKept: a line that is missing in a manifest by mistake costs no data.
func TestUndeclaredVolumeIsKept(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withVolumes("a"), withVolumes("b"))
		w.run(nil)
		w.settle(time.Minute)
		w.before = w.hands.Volumes()
		w.edit(func(b *v1alpha1.Bottle) { b.Spec.Agent = &v1alpha1.Agent{Image: agent1} })
		w.settle(time.Minute)
		w.must("no longer declared", w.hasVolumes())
		w.withdraw("a")
		w.settle(time.Minute)
		w.must("the bottle is removed", w.hasVolumes())
	})
}

// TestForeignVolume: a volume that has the name of a bottle's and is not that bottle's is not touched, and no agent gets it.
func TestForeignVolume(t *testing.T) {
	for who, c := range map[string]struct {
		volume state.Volume
		says   string
	}{
		"nobody":       {state.Volume{}, "volume p-volume-home.a exists and was not made by bottled: remove it (fake volume rm p-volume-home.a)"},
		"other owner":  {state.Volume{Labels: map[string]string{state.LabelOwner: "ci", state.LabelSlug: "a"}}, `belongs to bottled's owner "ci"`},
		"other bottle": {state.Volume{Labels: map[string]string{state.LabelOwner: owner, state.LabelSlug: "b"}}, `belongs to bottle "b"`},
		"escape": {
			state.Volume{Labels: map[string]string{state.LabelOwner: owner, state.LabelSlug: "a"}, Extras: []string{"device=/", "o=bind"}},
			"has settings that bottled never makes (device=/, o=bind)",
		},
	} {
		t.Run(who, func(t *testing.T) {
			simulate(t, func(w *world) {
				c.volume.Name = state.VolumeName(prefix, "home", "a")
				if err := w.hands.CreateVolume(c.volume); err != nil {
					t.Fatal(err)
				}
				before := w.hands.Volumes()[c.volume.Name]
				w.declare(withVolumes("a"))
				w.run(nil)
				w.pass(time.Minute)
				s, _ := w.status("a")
				if s.Reason != reconciler.ReasonFailed || !strings.Contains(s.Message, c.says) {
					t.Errorf("the bottle is %s (%s), want %q", s.Reason, s.Message, c.says)
				}
				if _, running := w.hands.ID(name(state.Agent, "a")); running {
					t.Error("the agent runs")
				}
				if _, running := w.hands.ID(name(state.Pipelock, "a")); !running {
					t.Error("pipelock does not run")
				}
				w.withdraw("a")
				w.pass(time.Minute)
				if after := w.hands.Volumes()[c.volume.Name]; after != before {
					t.Errorf("the volume is now %q, it was %q", after, before)
				}
			})
		})
	}
}
