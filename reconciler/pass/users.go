package pass

import (
	"context"
	"slices"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/engine"
)

// learnUsers asks the engine how it maps users, once, if there may be a mount: whose owner the agent may be, and who may write there.
func (r *Reconciler) learnUsers(ctx context.Context, m source.Snapshot) error {
	r.mu.Lock()
	known := r.users != nil
	r.mu.Unlock()
	mounts := slices.ContainsFunc(m.Bottles, func(b v1alpha1.Bottle) bool { return b.Spec.Agent != nil && len(b.Spec.Agent.Mounts) > 0 })
	if known || !mounts && len(m.InvalidSlugs()) == 0 {
		return nil
	}
	info, err := r.Observer.Engine.Info(ctx)
	if err != nil {
		return err
	}
	r.setUsers(info.Users)
	return nil
}

func (r *Reconciler) setUsers(users engine.UserMapping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users = &users
}
