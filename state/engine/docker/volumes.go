package docker

import (
	"context"
	"slices"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// localDriver keeps a volume in a directory of the engine's own, unless the volume has options.
const localDriver = "local"

// Volumes lists the owner's volumes: those of one bottle, or with slug "" all.
func (e *Engine) Volumes(ctx context.Context, owner, slug string) ([]engine.ObservedVolume, error) {
	labels := filters.NewArgs(filters.Arg("label", state.LabelOwner+"="+owner))
	if slug != "" {
		labels.Add("label", state.LabelSlug+"="+slug)
	}
	list, err := e.client.VolumeList(ctx, volume.ListOptions{Filters: labels})
	if err != nil {
		return nil, wrap(err, "list volumes")
	}
	found := make([]engine.ObservedVolume, 0, len(list.Volumes))
	for _, v := range list.Volumes {
		found = append(found, fromVolume(*v))
	}
	return found, nil
}

// CreateVolume creates a volume. Docker returns the one that has the name already, whosever it is.
func (e *Engine) CreateVolume(ctx context.Context, v state.Volume) error {
	made, err := e.client.VolumeCreate(ctx, volume.CreateOptions{Name: v.Name, Driver: localDriver, Labels: v.Labels})
	if err != nil {
		return wrap(err, "create volume %s", v.Name)
	}
	return engine.CheckVolume(fromVolume(made), v.Labels, e.Capabilities().Commands)
}

// RemoveVolume removes a volume that no container mounts; a missing one is success.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return wrap(ignoreNotFound(e.client.VolumeRemove(ctx, name, false)), "remove volume %s", name)
}

// checkVolumes verifies that a container's volumes exist, since Docker would make missing ones that are nobody's, and are its bottle's.
func (e *Engine) checkVolumes(ctx context.Context, c state.Container) error {
	for _, m := range c.Volumes {
		v, err := e.client.VolumeInspect(ctx, m.Volume)
		if err != nil {
			return wrap(err, "create container %s on volume %s", c.Name, m.Volume)
		}
		if err := engine.CheckVolume(fromVolume(v), c.Labels, e.Capabilities().Commands); err != nil {
			return err
		}
	}
	return nil
}

func fromVolume(v volume.Volume) engine.ObservedVolume {
	got := engine.ObservedVolume{Volume: state.Volume{Name: v.Name, Labels: v.Labels}, CreatedAt: parseTime(v.CreatedAt)}
	if v.Driver != localDriver {
		got.Extras = append(got.Extras, "driver="+v.Driver)
	}
	for option, value := range v.Options {
		got.Extras = append(got.Extras, option+"="+value)
	}
	slices.Sort(got.Extras)
	return got
}
