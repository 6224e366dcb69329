package render

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// ErrNoAgent marks a bottle that declares no agent, which a session would be like.
var ErrNoAgent = errors.New("it declares no agent")

// Session is a container for one interactive session in the bottle: as its agent's, in the internal network only, under a
// name that nothing else has and no alias. command takes the place of the agent's; without one the agent's is run. The
// engine keeps no log of it: what is said in it is between the terminal and the program.
func Session(b state.Bottle, prefix string, command []string) (state.Container, error) {
	i := slices.IndexFunc(b.Components, func(m state.Component) bool { return m.Name == state.Agent })
	if i < 0 {
		return state.Container{}, ErrNoAgent
	}
	c := b.Components[i].Container
	c.Name = state.ContainerName(prefix, state.Session, b.Slug) + "-" + strings.ToLower(rand.Text()[:8])
	c.Networks = []state.Attachment{{Network: c.Networks[0].Network, Links: c.Networks[0].Links}}
	c.Log = state.Log{Driver: "none"}
	c.TTY, c.Stdin = false, false // the session's own, by its terminal
	c.Hostname = ""               // which would be an alias
	c.Additions.Launcher = true   // also where the agent was made by a version without one
	if len(command) > 0 {
		c.Command = command
	}
	c.Labels = maps.Clone(c.Labels)
	c.Labels[state.LabelRole] = string(state.Session)
	c.Labels[state.LabelHash] = c.Hash()
	return c, nil
}
