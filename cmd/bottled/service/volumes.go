package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// Volume is a volume of the owner's.
type Volume struct {
	Name   string `json:"name"`   // on the engine
	Bottle string `json:"bottle"` // which need not exist any more
	Volume string `json:"volume"` // in that bottle's manifest
	State  string `json:"state"`  // reconciler.VolumeInUse, VolumeUnused or VolumeOrphan
	// Retained volumes stay when their bottle is removed. Orphans stay until somebody removes them.
	Retained bool `json:"retained"`
	// UsedBy are the containers of the owner that mount it.
	UsedBy  []string  `json:"usedBy"`
	Created time.Time `json:"created"`
}

// Volumes lists the volumes of the owner.
func (s *Service) Volumes(ctx context.Context) ([]Volume, error) {
	r, err := s.reconciler(ctx)
	if err != nil {
		return nil, err
	}
	have, err := r.Observer.Observe(ctx, observe.Options{})
	if err != nil {
		return nil, err
	}
	var all []Volume
	for _, v := range have.Volumes {
		all = append(all, describeVolume(v, have.Containers))
	}
	slices.SortFunc(all, func(a, b Volume) int {
		return cmp.Or(cmp.Compare(a.Bottle, b.Bottle), cmp.Compare(a.Volume, b.Volume), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func describeVolume(v observe.ObservedVolume, containers []observe.ObservedContainer) Volume {
	d := Volume{
		Name: v.Name, Bottle: v.Slug(), Volume: v.Labels[state.LabelVolume], State: reconciler.VolumeOrphan, Retained: !v.Disposable, UsedBy: []string{}, Created: v.CreatedAt,
	}
	for _, c := range containers {
		if c.Container.MountsVolume(v.Name) {
			d.UsedBy = append(d.UsedBy, c.Name)
		}
	}
	switch {
	case len(d.UsedBy) > 0:
		d.State = reconciler.VolumeInUse
	case v.Declared:
		d.State = reconciler.VolumeUnused
	}
	return d
}

// SelectVolumes returns the volumes with these names, or without names all orphans. One that can't be removed is an error.
func SelectVolumes(all []Volume, names []string) ([]Volume, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(all), func(v Volume) bool { return v.State != reconciler.VolumeOrphan }), nil
	}
	var selected []Volume
	var failed []error
	for _, name := range names {
		i := slices.IndexFunc(all, func(v Volume) bool { return v.Name == name })
		switch {
		case i < 0:
			failed = append(failed, fmt.Errorf("this owner has no volume %q: bottled volumes lists them", name))
		case all[i].State == reconciler.VolumeInUse:
			failed = append(failed, fmt.Errorf("volume %s is in use by %s", name, strings.Join(all[i].UsedBy, ", ")))
		default:
			selected = append(selected, all[i])
		}
	}
	return selected, errors.Join(failed...)
}

// RemoveVolume removes a volume of Volumes. The engine refuses one that a container mounts by now.
func (s *Service) RemoveVolume(ctx context.Context, v Volume) (err error) {
	e, err := s.connect(ctx, state.Settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.RemoveVolume(ctx, v.Name)
}
