package screen

import (
	"slices"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
)

// graphLines draws what sends requests where, from the left to the right: the agent and its services, the sidecars, the hosts. Each sidecar
// stands beside the hosts that it reaches.
func graphLines(nodes []overview.Node, cells int) []line {
	level := func(n int) (of []overview.Node) {
		for _, node := range nodes {
			if node.Level == n {
				of = append(of, node)
			}
		}
		return of
	}
	agents, sidecars := level(0), level(1)
	first, second := widest(agents), widest(sidecars)
	rest := max(10, cells-first-second-18)
	tones := map[string]overview.Tone{}
	for _, n := range nodes {
		tones[n.Name] = n.Tone
	}
	var all []line
	row := 0
	for i, s := range sidecars {
		hosts := s.To
		if isInward(s) {
			hosts = nil
		}
		for j := range max(1, len(hosts)) {
			var l line
			if row < len(agents) {
				l.spans = node(agents[row].Name, agents[row].Tone, first)
			} else {
				l.spans = []span{{fit("", first+4), plain}}
			}
			l.spans = append(l.spans, agentEdge(i, j, len(sidecars), isInward(s)))
			if j == 0 {
				l.spans = append(l.spans, node(s.Name, s.Tone, second)...)
			} else {
				l.spans = append(l.spans, span{fit("", second+4), plain})
			}
			if j < len(hosts) {
				l.spans = append(l.spans, span{edge(j, len(hosts)), dim})
				l.spans = append(l.spans, node(hosts[j], tones[hosts[j]], rest)...)
			}
			all = append(all, l)
			row++
		}
	}
	for ; row < len(agents); row++ {
		all = append(all, spans(node(agents[row].Name, agents[row].Tone, first)...))
	}
	return all
}

// isInward reports whether a sidecar sends requests to the agent, and not the other way round.
func isInward(n overview.Node) bool { return slices.Contains(n.To, "agent") }

// maxNode limits a name in the graph, in cells. Hosts have the rest of the line.
const maxNode = 20

func widest(nodes []overview.Node) int {
	w := 0
	for _, n := range nodes {
		w = max(w, min(width(n.Name), maxNode))
	}
	return w
}

func node(name string, t overview.Tone, cells int) []span {
	return []span{{" " + toneMark(t) + " ", toneLook(t)}, {fit(name, cells) + " ", toneLook(t)}}
}

// agentEdge leads from the agent to sidecar i of n, beside line j of that one's hosts.
func agentEdge(i, j, n int, inward bool) span {
	switch {
	case j > 0 && i == n-1:
		return span{"     ", dim}
	case j > 0:
		return span{"│    ", dim}
	case inward:
		return span{"◄─── ", dim}
	}
	return span{edge(i, n), dim}
}

// edge leads to the i-th of n: it begins on the first one's line.
func edge(i, n int) string {
	switch {
	case n == 1:
		return "───► "
	case i == 0:
		return "┬──► "
	case i == n-1:
		return "└──► "
	}
	return "├──► "
}
