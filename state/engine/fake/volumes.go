package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// volume is one volume. Its ID stands for its content.
type volume struct {
	engine.ObservedVolume
	id string
}

// Volumes lists the volumes of an owner.
func (e *Engine) Volumes(ctx context.Context, owner, slug string) ([]engine.ObservedVolume, error) {
	var found []engine.ObservedVolume
	err := e.read(ctx, func() error {
		for _, name := range slices.Sorted(maps.Keys(e.volumes)) {
			v := e.volumes[name].ObservedVolume
			if v.Labels[state.LabelOwner] == owner && (slug == "" || v.Slug() == slug) {
				v.Labels = cloneMap(v.Labels)
				found = append(found, v)
			}
		}
		return nil
	})
	return found, err
}

// CreateVolume creates a volume, unless the bottle has it already.
func (e *Engine) CreateVolume(ctx context.Context, v state.Volume) error {
	return e.write(ctx, func() error {
		if e.volumes[v.Name] == nil {
			e.createVolume(v)
		}
		return e.checkVolume(v.Name, v.Labels)
	})
}

func (e *Engine) createVolume(v state.Volume) {
	e.volumes[v.Name] = &volume{engine.ObservedVolume{Volume: v, CreatedAt: time.Now()}, e.id("d")}
}

// checkVolume returns an error unless a volume exists and is the bottle's.
func (e *Engine) checkVolume(name string, labels map[string]string) error {
	v := e.volumes[name]
	if v == nil {
		return fmt.Errorf("volume %s: %w", name, engine.ErrNotFound)
	}
	return engine.CheckVolume(v.ObservedVolume, labels, e.Capabilities().Commands)
}

// RemoveVolume refuses a volume that a container mounts.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return e.write(ctx, func() error { return e.removeVolume(name) })
}

func (e *Engine) removeVolume(name string) error {
	for _, c := range e.containers {
		if slices.ContainsFunc(c.spec.Volumes, func(v state.VolumeMount) bool { return v.Volume == name }) {
			return fmt.Errorf("remove volume %s: it is in use by %.12s: %w", name, c.id, engine.ErrConflict)
		}
	}
	delete(e.volumes, name)
	return nil
}

// CreateVolume makes a volume past bottled.
func (h Hands) CreateVolume(v state.Volume) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if h.e.volumes[v.Name] != nil {
		return fmt.Errorf("volume %s: %w", v.Name, engine.ErrConflict)
	}
	h.e.createVolume(v)
	return nil
}

// RemoveVolume removes a volume, as docker volume rm does.
func (h Hands) RemoveVolume(name string) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if h.e.volumes[name] == nil {
		return fmt.Errorf("volume %s: %w", name, engine.ErrNotFound)
	}
	return h.e.removeVolume(name)
}

// Volumes returns the volumes by name. The value stands for a volume's content: another volume of this name has another one.
func (h Hands) Volumes() map[string]string {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	all := map[string]string{}
	for name, v := range h.e.volumes {
		all[name] = v.id
	}
	return all
}
