package plan

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// warnMounts warns of writable mounts that the agent's user can't write to. A user that only the image knows is known once there is a
// container.
func (p *planner) warnMounts(m state.Component, have *observe.ObservedContainer) {
	user := m.Container.User
	if user == "" && have == nil {
		return
	}
	if user == "" {
		user = have.Container.User
	}
	isAuto := p.want.Declared.Spec.Agent != nil && p.want.Declared.Spec.Agent.User == v1alpha1.UserAuto
	for _, mount := range m.Container.Mounts {
		if mount.ReadOnly || !mount.Owner.Known {
			continue
		}
		if isAuto && m.Container.User == "" {
			p.warn("agent: %s belongs to root, so spec.agent.user: auto is the image's user. Change its owner, or name the user", mount.Source)
		}
		isAuto = false // only the first one counts
		if warning := mount.Owner.Warn(user, mount.Source, mount.Target); warning != "" {
			p.warn("agent: %s", warning)
		}
	}
}

func (p *planner) warn(format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
}
