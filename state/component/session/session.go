// Package session is the component that `bottled run` makes: an interactive container like the agent's. It is never declared, and
// lives as long as its session (see render.Session).
package session

import (
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// Kind is the component. Its container has no alias, so that its name is no host name of the bottle.
var Kind = component.Kind{
	Component: contract.Component{Name: string(state.Session)},
	Ready:     component.ReadyWhenStable,
	Workload:  true,
}
