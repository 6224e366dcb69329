package state

import (
	"slices"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Volume is a volume of the engine's, desired or observed. Its content outlives the containers that mount it.
type Volume struct {
	Name   string
	Labels map[string]string
	// Extras are observed settings that bottled never makes: another driver, or options, which could lead to any directory of the host.
	Extras []string `json:",omitempty"`
}

// VolumeMount is a volume in a container.
type VolumeMount struct {
	Volume, Target string
}

// MountsVolume reports whether the container mounts a volume.
func (c Container) MountsVolume(name string) bool {
	return slices.ContainsFunc(c.Volumes, func(v VolumeMount) bool { return v.Volume == name })
}

// VolumeRole is the role of a volume in labels.
const VolumeRole = "volume"

// VolumeName returns the name on the engine of a bottle's volume. Neither of the names has a dot, so no other pair results in the same.
func VolumeName(prefix, volume, slug string) string {
	return prefix + "-" + VolumeRole + "-" + volume + "." + slug
}

// HasVolume reports whether the bottle declares a volume, by its name on the engine.
func (b *Bottle) HasVolume(name string) bool {
	return slices.ContainsFunc(b.Volumes, func(v Volume) bool { return v.Name == name })
}

// IsDisposable reports whether the bottle declares a volume that goes with it.
func (b *Bottle) IsDisposable(name string) bool {
	return slices.ContainsFunc(b.Volumes, func(v Volume) bool {
		return v.Name == name && slices.ContainsFunc(b.Declared.Spec.Volumes(), func(d v1alpha1.Volume) bool {
			return d.Name == v.Labels[LabelVolume] && !d.IsRetained()
		})
	})
}
