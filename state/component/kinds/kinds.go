// Package kinds is the registry of the components of a bottle.
package kinds

import (
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/agent"
	"github.com/bot-bottle/bottled/state/component/credproxy"
	"github.com/bot-bottle/bottled/state/component/ingress"
	"github.com/bot-bottle/bottled/state/component/pipelock"
	"github.com/bot-bottle/bottled/state/component/service"
	"github.com/bot-bottle/bottled/state/component/session"
	"github.com/bot-bottle/bottled/state/component/supervise"
)

// All are the components of a bottle, one line each, in dependency order. It is set once: only tests replace it.
var All = component.NewRegistry(
	pipelock.Kind,
	credproxy.Kind,
	supervise.Kind,
	ingress.Kind,
	service.Kind,
	agent.Kind,
	session.Kind,
	ingress.PortForward,
)
