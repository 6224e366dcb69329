package plan

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// text is the plan as people see it.
func text(t *testing.T, p Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b, func(_, text string) string { return text }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// graph is the plan as the executor gets it.
func graph(p Plan) string {
	var b strings.Builder
	for _, bottle := range p.Bottles {
		b.WriteString("bottle " + bottle.Slug + "\n" + bottle.Graph())
	}
	return b.String()
}

// TestPlan compares plans, as people see them and as the executor gets them.
func TestPlan(t *testing.T) {
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(t, w)
			p := w.plan()
			golden.Check(t, "testdata/plan/"+name+".golden", text(t, p))
			golden.Check(t, "testdata/graph/"+name+".golden", graph(p))
		})
	}
}

// TestPlanShowsNoSecret in any text of a plan that replaces one.
func TestPlanShowsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.token = "the-secret-token"
	w.desire(t)
	p := w.plan()
	if got := text(t, p) + graph(p) + fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(got, "the-secret-token") || !strings.Contains(got, "(another secret)") {
		t.Errorf("the plan shows a secret, or nothing of it:\n%s", got)
	}
}

func TestPruneGuard(t *testing.T) {
	for _, c := range []struct {
		running, gone int
		policy        PrunePolicy
		held          bool
	}{
		{10, 1, PruneGuarded, false},
		{2, 1, PruneGuarded, false},
		{3, 2, PruneGuarded, false},
		{5, 3, PruneGuarded, true},
		{6, 3, PruneGuarded, false},
		{10, 6, PruneGuarded, true},
		{10, 6, PruneAll, false},
		{10, 1, PruneNone, true},
	} {
		t.Run(fmt.Sprintf("%d-of-%d-%s", c.gone, c.running, c.policy), func(t *testing.T) {
			w := newWorld(t)
			w.prune, w.want = c.policy, Desired{Failed: map[string]error{}}
			one := w.have.Containers[0]
			w.have = observe.Observed{Capabilities: docker}
			for i := range c.running {
				slug := fmt.Sprintf("b%02d", i)
				o := one
				o.Labels = maps.Clone(one.Labels)
				o.Labels[state.LabelSlug] = slug
				w.have.Containers = append(w.have.Containers, o)
				if i >= c.gone {
					w.want.Failed[slug] = reconciler.ErrInvalid
				}
			}
			p := w.plan()
			removed := 0
			for _, b := range p.Bottles {
				if b.Remove {
					removed++
				}
			}
			if c.held && (removed != 0 || len(p.Held) != c.gone) || !c.held && (removed != c.gone || len(p.Held) != 0) {
				t.Errorf("held %v, removed %d; want held: %v", p.Held, removed, c.held)
			}
			if asked := p.PruneErr != nil; asked != (c.held && c.policy == PruneGuarded) {
				t.Errorf("error: %v", p.PruneErr)
			}
		})
	}
}
