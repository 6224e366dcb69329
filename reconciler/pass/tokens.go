package pass

import (
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/resolve"
)

// FollowTokenCommands has the commands run that the routes of a snapshot's bottles name, and no others. Those of a bottle with an invalid
// manifest are the ones that it was declared with last.
func (r *Reconciler) FollowTokenCommands(m source.Snapshot) {
	if r.TokenCommands == nil {
		return
	}
	bottles := slices.Clone(m.Bottles)
	for slug := range m.InvalidSlugs() {
		if last, ok := r.lastDeclared(slug); ok {
			bottles = append(bottles, last.manifest)
		}
	}
	var commands []resolve.TokenCommand
	for _, b := range bottles {
		if b.Spec.CredProxy == nil {
			continue
		}
		for _, route := range b.Spec.CredProxy.Routes {
			if command := route.Token.Exec; len(command) > 0 {
				check := func() error { return r.inputReader("", m.Writable).CheckCommand(command) } // no agent may write it, its own neither
				commands = append(commands, resolve.TokenCommand{Ref: route.Token, Check: check})
			}
		}
	}
	r.TokenCommands.Follow(commands)
}

// StaleTokens returns, for each route of a bottle whose command fails, since when and how. Its last token, if there is one, is kept in use.
func (r *Reconciler) StaleTokens(m v1alpha1.Bottle) []string {
	if m.Spec.CredProxy == nil {
		return nil
	}
	var stale []string
	for i, route := range m.Spec.CredProxy.Routes {
		if since, err := r.TokenCommands.Failing(route.Token); err != nil {
			stale = append(stale, fmt.Sprintf("%s[%d].token is not refreshed since %s: %v", v1alpha1.RoutesField, i, since.UTC().Format(time.RFC3339), err))
		}
	}
	return stale
}
