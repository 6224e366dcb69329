package conformance

import (
	"context"
	"slices"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

func (r *run) volumeOf(name, slug string) state.Volume {
	labels := r.labels(state.VolumeRole)
	labels[state.LabelSlug], labels[state.LabelVolume] = slug, name
	return state.Volume{Name: state.VolumeName(r.Settings.Prefix, name, slug), Labels: labels}
}

// volume creates a volume that is removed at the end.
func (r *run) volume(v state.Volume) {
	r.Helper()
	r.must(r.Engine.CreateVolume(r.Context(), v))
	r.Cleanup(func() { r.must(r.Engine.RemoveVolume(context.WithoutCancel(r.Context()), v.Name)) })
}

// volumes outlive the containers that mount them, and belong to one bottle.
func volumes(r *run) {
	own, other := r.volumeOf("data", r.slug), r.volumeOf("data", "other")
	r.volume(own)
	r.volume(own) // it is there already
	r.volume(other)
	impostor := own
	impostor.Labels = other.Labels
	r.want(r.Engine.CreateVolume(r.Context(), impostor), engine.ErrForeignVolume)
	r.want(r.Engine.CreateVolume(r.Context(), state.Volume{Name: own.Name, Labels: map[string]string{state.LabelOwner: "somebody"}}), engine.ErrForeignVolume)
	listed := func(slug string) []string {
		all, err := r.Engine.Volumes(r.Context(), r.Settings.Owner, slug)
		r.must(err)
		var names []string
		for _, v := range all {
			names = append(names, v.Name)
			if v.CreatedAt.IsZero() || len(v.Extras) > 0 || v.Labels[state.LabelVolume] != "data" {
				r.Errorf("a volume is listed as %+v", v)
			}
		}
		slices.Sort(names)
		return names
	}
	if got := listed(r.slug); !slices.Equal(got, []string{own.Name}) {
		r.Errorf("volumes of the bottle: %v", got)
	}
	if got := listed(""); !slices.Contains(got, own.Name) || !slices.Contains(got, other.Name) {
		r.Errorf("volumes of the owner: %v", got)
	}
	mountedVolumes(r, own, other, listed)
}

// mountedVolumes are the container's that was created with them, and can't be removed before it.
func mountedVolumes(r *run, own, other state.Volume, listed func(slug string) []string) {
	n := r.network("volumes", 0)
	c := r.container("v", n.Name)
	for volume, want := range map[string]error{r.Settings.Prefix + "-missing": engine.ErrNotFound, other.Name: engine.ErrForeignVolume} {
		c.Volumes = []state.VolumeMount{{Volume: volume, Target: "/data"}}
		_, err := r.Engine.CreateContainer(r.Context(), c)
		r.want(err, want)
	}
	if all, err := r.Engine.Containers(r.Context(), r.Settings.Owner, r.slug); err != nil || len(all) > 0 {
		r.Errorf("containers left: %+v, %v", all, err)
	}
	c.Volumes = []state.VolumeMount{{Volume: own.Name, Target: "/data"}}
	id := r.start(c)
	if all, err := r.Engine.Containers(r.Context(), r.Settings.Owner, r.slug); err != nil || len(all) != 1 {
		r.Errorf("containers: %+v, %v", all, err)
	}
	s, _ := r.find(id)
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	have := observe.ObservedContainer{Summary: s, Detail: detail}
	if d := observe.Diff(c, have, map[string]string{n.Name: n.ID}, s.ImageID); len(d.Recreate) > 0 {
		r.Errorf("a container as declared differs: %+v", d)
	}
	c.Volumes = nil
	if d := observe.Diff(c, have, map[string]string{n.Name: n.ID}, s.ImageID); len(d.Recreate) == 0 {
		r.Error("an undeclared volume is no difference")
	}
	r.want(r.Engine.RemoveVolume(r.Context(), own.Name), engine.ErrConflict)
	r.must(r.Engine.StopContainer(r.Context(), id, 0))
	r.want(r.Engine.RemoveVolume(r.Context(), own.Name), engine.ErrConflict)
	r.must(r.Engine.RemoveContainer(r.Context(), id))
	if got := listed(r.slug); !slices.Equal(got, []string{own.Name}) {
		r.Errorf("volumes after the container's removal: %v", got)
	}
	r.must(r.Engine.RemoveVolume(r.Context(), own.Name))
	r.must(r.Engine.RemoveVolume(r.Context(), own.Name)) // a missing one is success
	if got := listed(r.slug); len(got) > 0 {
		r.Errorf("volumes after their removal: %v", got)
	}
}
