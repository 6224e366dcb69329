package render

import (
	"crypto/rand"
	"maps"
	"strings"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/ingress"
)

// PortForward is the container of one port-forward in a bottle, on the internal network only, without an alias, and the directory of its
// socket. It needs no more of the bottle than its network, so a bottle of an older version has it, too.
func PortForward(b state.Bottle, s state.Settings) (state.Container, state.Dir) {
	id := strings.ToLower(rand.Text()[:8])
	dir := state.Dir{Path: s.PortForwardDir(b.Slug, id), Spool: true}
	image, builtin := s.Image(state.Ingress)
	c := state.Sealed(state.Attachment{Network: b.Networks[0].Name})
	c.Name, c.Image = state.ContainerName(s.Prefix, state.PortForward, b.Slug)+"-"+id, image
	c.User, c.ReadOnlyRoot, c.Limits = s.User, true, ingress.PortForward.Limits
	c.Command = []string{"run", "--" + ingress.OneSession}
	if builtin {
		c.Command = append([]string{"sidecar", ingress.Kind.Name}, c.Command...)
	}
	c.Mounts = []state.Mount{ingress.MountOf(dir)}
	c.Restart, c.Log = "no", state.Log{Driver: "none"}
	c.Labels = maps.Clone(b.Networks[0].Labels)
	c.Labels[state.LabelRole] = string(state.PortForward)
	c.Labels[state.LabelHash] = c.Hash()
	return c, dir
}
