package overview

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func bottle(name, reason string, change ...func(*reconciler.BottleStatus)) reconciler.BottleStatus {
	b := reconciler.BottleStatus{Slug: name, Reason: reason, Ready: reason == reconciler.ReasonReady}
	for _, c := range change {
		c(&b)
	}
	return b
}

func with(kind string) func(*reconciler.BottleStatus) {
	return func(b *reconciler.BottleStatus) {
		b.Conditions = append(b.Conditions, reconciler.Condition{Type: kind, Status: "True", Message: kind + " it is"})
	}
}

func labelled(value string) func(*reconciler.BottleStatus) {
	return func(b *reconciler.BottleStatus) { b.Labels = map[string]string{"team": value} }
}

func TestTones(t *testing.T) {
	for want, all := range map[Tone][]reconciler.BottleStatus{
		Good:    {bottle("a", reconciler.ReasonReady)},
		Idle:    {bottle("a", reconciler.ReasonSuspend), bottle("a", reconciler.ReasonCompleted), bottle("a", reconciler.ReasonReady, func(b *reconciler.BottleStatus) { b.Cut = true })},
		Warning: {bottle("a", reconciler.ReasonReady, with(reconciler.ConditionTokenStale)), bottle("a", reconciler.ReasonReady, func(b *reconciler.BottleStatus) { b.Warnings = []string{"w"} })},
		Busy:    {bottle("a", reconciler.ReasonPending), bottle("a", reconciler.ReasonNotReady, with(reconciler.ConditionReconciling))},
		Bad: {
			bottle("a", reconciler.ReasonNotReady), bottle("a", reconciler.ReasonInvalid), bottle("a", reconciler.ReasonUnreachable), bottle("a", reconciler.ReasonAgentFailed),
			bottle("a", reconciler.ReasonCrashing, with(reconciler.ConditionReconciling)), bottle("a", reconciler.ReasonFailed, with(reconciler.ConditionReconciling)),
			bottle("a", reconciler.ReasonHeld), bottle("a", reconciler.ReasonReady, with(reconciler.ConditionStalled)),
		},
	} {
		for _, b := range all {
			if got := (Snapshot{}).RowOf(b); got.Tone != want {
				t.Errorf("%+v is %s, want %s", b, got.Tone, want)
			}
		}
	}
}

// names are a fleet as text: groups with the bottles in them.
func names(groups []Group) string {
	var all []string
	for _, g := range groups {
		line := g.Value + ":"
		for _, r := range g.Rows {
			line += " " + r.Bottle
		}
		if g.Folded > 0 {
			line += " +" + strings.Repeat("1", g.Folded)
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

func TestFleet(t *testing.T) {
	s := Snapshot{
		Status: reconciler.Status{Bottles: []reconciler.BottleStatus{
			bottle("calm", reconciler.ReasonReady, labelled("red")), bottle("asks", reconciler.ReasonReady, labelled("blue"), func(b *reconciler.BottleStatus) {
				b.Proposals = &reconciler.WaitingProposals{Waiting: 2, Oldest: now}
			}),
			bottle("broken", reconciler.ReasonFailed, labelled("blue"), func(b *reconciler.BottleStatus) { b.Message = "no image" }),
			bottle("stopped", reconciler.ReasonSuspend), bottle("on-its-way", reconciler.ReasonPending),
		}},
		Activity: reconciler.Activity{Bottles: map[string]reconciler.BottleActivity{"calm": {CPU: 2, Memory: 1, Denied: 7}, "stopped": {CPU: 1, Memory: 5}}},
	}
	for _, c := range []struct {
		view View
		want string
	}{
		{View{}, ": asks broken on-its-way calm stopped"},
		{View{Order: ByName}, ": asks broken calm on-its-way stopped"},
		{View{Order: ByCPU}, ": calm stopped asks broken on-its-way"},
		{View{Order: ByMemory}, ": stopped calm asks broken on-its-way"},
		{View{Order: ByDenied}, ": calm asks broken on-its-way stopped"},
		{View{Fold: true}, ": asks broken on-its-way +11"},
		{View{Label: "team"}, "blue: asks broken\nred: calm\n: on-its-way stopped"},
		{View{Filter: "NO image"}, ": broken"},
		{View{Filter: "team=red", Fold: true}, ": calm"},
		{View{Filter: "nobody"}, ""},
	} {
		if got := names(s.Fleet(c.view)); got != c.want {
			t.Errorf("%+v:\n%s\nwant:\n%s", c.view, got, c.want)
		}
	}
}

func TestInbox(t *testing.T) {
	s := Snapshot{Proposals: []reconciler.Proposal{
		{ID: "1", State: reconciler.ProposalAnswered}, {ID: "2", State: reconciler.ProposalMerging}, {ID: "3", State: reconciler.ProposalWaiting}, {ID: "4", State: reconciler.ProposalWaiting},
	}}
	got := ""
	for _, p := range s.Inbox() {
		got += p.ID
	}
	if got != "342" {
		t.Errorf("%s", got)
	}
}

func TestGraph(t *testing.T) {
	b := bottle("dev", reconciler.ReasonNotReady, with(reconciler.ConditionReconciling), func(b *reconciler.BottleStatus) {
		b.Components = []reconciler.ComponentStatus{
			{Component: state.Pipelock, State: "running", Ready: true},
			{Component: state.CredProxy, State: "running", Cause: "serves another configuration"},
			{Component: state.Supervise, State: "running", Ready: true},
			{Component: state.Ingress, State: "running", Ready: true},
			{Component: state.Agent, State: "missing", Cause: "missing"},
		}
	})
	spec := v1alpha1.Spec{
		Egress:    v1alpha1.Egress{Allowlist: append(v1alpha1.Allow("b.example", "a.example:8443"), v1alpha1.AllowedHost{Host: "over.example", Until: now})},
		CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Upstream: "https://api.example/v1"}, {Upstream: "https://api.example"}}},
	}
	want := []Node{
		{Name: "agent", Tone: Busy, Text: "missing", To: []string{"pipelock", "cred-proxy", "supervise"}},
		{Name: "pipelock", Level: 1, Tone: Good, Text: "running", To: []string{"b.example", "a.example:8443"}},
		{Name: "cred-proxy", Level: 1, Tone: Busy, Text: "serves another configuration", To: []string{"api.example"}},
		{Name: "supervise", Level: 1, Tone: Good, Text: "running"},
		{Name: "ingress", Level: 1, Tone: Good, Text: "running", To: []string{"agent"}},
		{Name: "a.example:8443", Level: 2, Tone: Good},
		{Name: "api.example", Level: 2, Tone: Good},
		{Name: "b.example", Level: 2, Tone: Good},
	}
	if diff := cmp.Diff(want, Graph(b, spec, now)); diff != "" {
		t.Error(diff)
	}
}

func TestEntry(t *testing.T) {
	spec := v1alpha1.Spec{Egress: v1alpha1.Egress{Allowlist: append(v1alpha1.Allow("*.open.example", "port.example:8443"), v1alpha1.AllowedHost{Host: "over.example", Until: now})}}
	refused := map[string]uint64{audit.CodeHostNotAllowed: 2}
	for want, h := range map[string]reconciler.HostTraffic{
		"a.example:80": {Host: "a.example", Port: 80, Codes: refused}, "over.example:443": {Host: "over.example", Port: 443, Codes: refused},
		"port.example:443": {Host: "port.example", Port: 443, Codes: map[string]uint64{audit.CodePortNotAllowed: 1}}, "[2001:db8::1]:443": {Host: "2001:db8::1", Port: 443, Codes: refused},
	} {
		if got := Entry(h, spec, now); got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
	for _, h := range []reconciler.HostTraffic{
		{Host: "a.example", Codes: refused},
		{Host: "x.open.example", Port: 443, Codes: refused},
		{Host: "port.example", Port: 8443, Codes: refused},
		{Host: "a.example", Port: 443, Codes: map[string]uint64{audit.CodeDLP: 1}},
	} {
		if got := Entry(h, spec, now); got != "" {
			t.Errorf("%+v: %q", h, got)
		}
	}
}
