package plan

import (
	"slices"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// createVolumes plans the creation of the missing volumes of a container that is to be created: as steps of its component they come
// first. The volumes of containers that exist do, too: the engine removes none that a container mounts.
func (p *planner) createVolumes(m state.Component) {
	for _, v := range p.want.Volumes {
		if m.Container.MountsVolume(v.Name) && !p.volumes[v.Name] {
			p.volumes[v.Name] = true
			p.add(Step{Action: CreateVolume, Component: m.Name, Object: v.Name, Cause: "it is missing", Volume: v})
		}
	}
}

// volumeStatus returns the status of the declared volumes.
func (p *planner) volumeStatus() []reconciler.VolumeStatus {
	var all []reconciler.VolumeStatus
	for _, v := range p.want.Volumes {
		s := reconciler.VolumeStatus{Name: v.Labels[state.LabelVolume], Volume: v.Name, State: reconciler.VolumeMissing, Retained: !p.want.IsDisposable(v.Name)}
		switch {
		case slices.ContainsFunc(p.have.containers, func(c observe.ObservedContainer) bool { return c.Container.MountsVolume(v.Name) }):
			s.State = reconciler.VolumeInUse
		case p.volumes[v.Name]:
			s.State = reconciler.VolumeUnused
		}
		all = append(all, s)
	}
	return all
}
