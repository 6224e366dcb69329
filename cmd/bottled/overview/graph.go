package overview

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
)

// Node is a component of a bottle, or a host that it reaches.
type Node struct {
	Name string
	// Level is how far it is from the agent: 0 is the agent with its services, 1 a sidecar, 2 a host.
	Level int
	Tone  Tone
	Text  string   // its state, or why it is not as declared
	To    []string // the nodes that it sends requests to
}

// Graph returns the components of a bottle and the hosts that its declaration allows now, in the order of their levels. bottled's own names
// come from the status; hosts come from the spec.
func Graph(b reconciler.BottleStatus, spec v1alpha1.Spec, now time.Time) []Node {
	var nodes []Node
	allowed := spec.Egress.HostsAt(now)
	sidecars := componentNames(b, func(c reconciler.ComponentStatus) bool {
		return levelOf(c.Component) == 1 && c.Component != state.Ingress
	})
	for _, c := range b.Components {
		n := Node{Name: string(c.Component), Level: levelOf(c.Component), Tone: ComponentTone(b, c), Text: c.State}
		if c.Cause != "" {
			n.Text = c.Cause
		}
		switch c.Component {
		case state.Pipelock:
			n.To = allowed
		case state.CredProxy:
			n.To = upstreams(spec)
		case state.Ingress:
			n.To = componentNames(b, func(c reconciler.ComponentStatus) bool { return c.Component == state.Agent })
		case state.Supervise:
		default:
			n.To = sidecars
		}
		nodes = append(nodes, n)
	}
	hosts := slices.Concat(allowed, upstreams(spec))
	slices.Sort(hosts)
	tone := Good
	if b.Cut || b.Reason == reconciler.ReasonSuspend {
		tone = Idle
	}
	for _, h := range slices.Compact(hosts) {
		nodes = append(nodes, Node{Name: h, Level: 2, Tone: tone})
	}
	slices.SortStableFunc(nodes, func(a, b Node) int { return a.Level - b.Level })
	return nodes
}

func componentNames(b reconciler.BottleStatus, of func(reconciler.ComponentStatus) bool) []string {
	var names []string
	for _, c := range b.Components {
		if of(c) {
			names = append(names, string(c.Component))
		}
	}
	return names
}

func levelOf(c state.ComponentName) int {
	if slices.Contains([]state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Ingress}, c) {
		return 1
	}
	return 0
}

// ComponentTone judges a component of a bottle.
func ComponentTone(b reconciler.BottleStatus, c reconciler.ComponentStatus) Tone {
	switch {
	case c.Ended != nil && c.Phase == reconciler.PhaseCompleted, b.Reason == reconciler.ReasonSuspend:
		return Idle
	case c.Ready && c.Cause == "":
		return Good
	case b.IsTrue(reconciler.ConditionReconciling) && !b.IsTrue(reconciler.ConditionStalled):
		return Busy
	}
	return Bad
}

// Entry is the entry of the allowlist that would open a host that was refused; "" where it is open by now, or was refused for another reason.
func Entry(h reconciler.HostTraffic, spec v1alpha1.Spec, now time.Time) string {
	if h.Port == 0 || h.Codes[audit.CodeHostNotAllowed]+h.Codes[audit.CodePortNotAllowed] == 0 {
		return ""
	}
	for _, entry := range spec.Egress.HostsAt(now) {
		if name, port := scalar.SplitAllowed(entry); scalar.Covers(name, h.Host) && (port == h.Port || port == 0 && h.Port == 443) {
			return ""
		}
	}
	return net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
}

// upstreams are the hosts of cred-proxy's routes.
func upstreams(spec v1alpha1.Spec) []string {
	if spec.CredProxy == nil {
		return nil
	}
	var all []string
	for _, r := range spec.CredProxy.Routes {
		if u, err := url.Parse(r.Upstream); err == nil && u.Host != "" && !slices.Contains(all, u.Host) {
			all = append(all, u.Host)
		}
	}
	return all
}
