// Package render turns a manifest, and what was read of the outside for it, into what should run. It is pure.
package render

import (
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/resolve"
)

// Bottle renders a bottle: its networks, and each component that it needs, in dependency order.
func Bottle(m v1alpha1.Bottle, in resolve.Inputs, nets state.Subnets, s state.Settings) (state.Bottle, error) {
	image, err := s.ImageOfAgent(m, in.Build)
	if err != nil {
		return state.Bottle{}, err
	}
	c := component.Context{Manifest: m, Inputs: in, Subnets: nets, Settings: s, AgentImage: image}
	c.Kinds = kinds.All.NeededBy(c)
	b := state.Bottle{
		Slug: c.Slug(), Manifest: m.Source.Path, Declared: m, SpecHash: SpecHash(m), Suspended: m.Spec.Suspend, HostsUntil: in.HostsUntil, Networks: networks(c), Volumes: volumes(c),
	}
	for _, k := range c.Kinds {
		made, dirs, err := k.Render(c.For(k))
		if err != nil {
			return state.Bottle{}, err
		}
		made.Container.Labels[state.LabelHash] = made.Container.Hash()
		for _, dir := range dirs {
			made.DirPaths = append(made.DirPaths, dir.Path)
			b.AddDir(dir)
		}
		b.Components = append(b.Components, made)
	}
	return b, nil
}

// SpecHash is a digest of what a manifest declares, wherever it lies.
func SpecHash(m v1alpha1.Bottle) string { return state.DigestJSON(m) }

func volumes(c component.Context) []state.Volume {
	var all []state.Volume
	for _, v := range c.Manifest.Spec.Volumes() {
		labels := c.Labels(state.VolumeRole)
		labels[state.LabelVolume] = v.Name
		all = append(all, state.Volume{Name: state.VolumeName(c.Settings.Prefix, v.Name, c.Slug()), Labels: labels})
	}
	return all
}

func networks(c component.Context) []state.Network {
	return []state.Network{
		{
			Name: c.Network(state.InternalNetwork), Subnet: c.Subnets.Internal,
			Internal: true, Isolated: true, Labels: c.Labels(state.InternalNetwork),
		},
		{Name: c.Network(state.EgressNetwork), Subnet: c.Subnets.Egress, Labels: c.Labels(state.EgressNetwork)},
	}
}
