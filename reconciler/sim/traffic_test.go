package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// say has a sidecar of bottle a write statements, each numbered, and waits until they are collected.
func (w *world) say(component state.ComponentName, statements ...string) {
	w.t.Helper()
	for _, s := range statements {
		w.spoken++
		if err := w.hands.Log(name(component, "a"), fmt.Sprintf(`{%s,"run":"r","number":%d}`, s, w.spoken)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.pass(time.Minute)
}

// metric returns the value of a metric with these labels, as in the text format; 0 when there is none.
func (w *world) metric(metric string, labels ...string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() == metric && strings.Join(have, ",") == strings.Join(labels, ",") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// TestCredentialRejected is a condition while the upstream rejects a route's token or it can't be sent, and a metric.
func TestCredentialRejected(t *testing.T) {
	const (
		rejected = `"event":"request","phase":"end","route":"/anthropic/","host":"api.anthropic.com","status":"401","code":"credential_rejected"`
		accepted = `"event":"request","phase":"end","route":"/anthropic/","host":"api.anthropic.com","status":"200"`
		unusable = `"event":"credential","action":"missing","route":"/anthropic/","host":"api.anthropic.com","code":"credential_unusable","reason":"it has two lines"`
	)
	simulate(t, func(w *world) {
		w.audited = true
		w.declare(full("a"))
		w.run(nil)
		w.settle(10 * time.Second)
		want := func(when, message string) {
			t.Helper()
			s, _ := w.status("a")
			c := s.Condition(reconciler.ConditionCredentialRejected)
			if !s.Ready || (c != nil) != (message != "") || c != nil && (c.Status != "True" || !strings.Contains(c.Message, message)) {
				t.Errorf("%s: %+v", when, s)
			}
			if got := w.metric("bottled_bottles", "condition=CredentialRejected", "status=True"); (got == 1) != (message != "") {
				t.Errorf("%s: %v bottles", when, got)
			}
		}
		w.say(state.CredProxy, rejected, rejected)
		want("twice", "")
		w.say(state.CredProxy, rejected)
		want("three times", "route /anthropic/ (api.anthropic.com): the upstream answered 401 to the last 3 requests")
		w.say(state.CredProxy, accepted)
		want("accepted", "")
		w.say(state.CredProxy, unusable)
		want("unusable", "it has two lines")
		w.edit(func(b *v1alpha1.Bottle) {
			other := b.Spec.CredProxy.Routes[0]
			other.Path = "/other/"
			b.Spec.CredProxy = &v1alpha1.CredProxy{Routes: []route.Route{other}}
		})
		w.settle(10 * time.Second)
		want("declared otherwise", "")
		w.wantEvents(0, [3]string{"ConditionChanged", "", "CredentialRejected is True"}, [3]string{"ConditionChanged", "", "CredentialRejected is False"})
		if n := w.metric("bottled_credential_rejections_total", "bottle=a"); n != 3 {
			t.Errorf("%v rejections", n)
		}
	})
}

// TestDeniedHosts are counted for each bottle, in bounds, and go with it.
func TestDeniedHosts(t *testing.T) {
	simulate(t, func(w *world) {
		w.audited = true
		w.declare(full("a"), full("b"))
		w.run(nil)
		w.settle(10 * time.Second)
		for i := range 1000 {
			w.spoken++
			line := fmt.Sprintf(`{"event":"egress","action":"deny","host":"h%d.example\u001b[2J","code":"c%d","run":"r","number":%d}`, i, i, w.spoken)
			if err := w.hands.Log(name(state.Pipelock, "a"), line); err != nil {
				t.Fatal(err)
			}
		}
		w.say(state.Pipelock, `"event":"egress","action":"deny","host":"evil.example","code":"host_not_allowed","count":2`,
			`"event":"egress","action":"deny","host":"api.example","code":"dlp"`)
		s, _ := w.status("a")
		if s.Traffic == nil || s.Traffic.Denied != 1003 || s.Traffic.DLPBlocks != 1 || s.Traffic.DeniedHosts[0].Host != "evil.example" || len(s.Traffic.DeniedHosts) != 10 {
			t.Errorf("%+v", s.Traffic)
		}
		if strings.Contains(fmt.Sprint(s.Traffic), "\x1b") {
			t.Errorf("it controls the terminal: %+v", s.Traffic)
		}
		if other, _ := w.status("b"); other.Traffic != nil {
			t.Errorf("the other bottle: %+v", other.Traffic)
		}
		for code, want := range map[string]float64{"host_not_allowed": 2, "dlp": 1, "other": 1000, "c1": 0} {
			if got := w.metric("bottled_egress_denied_total", "bottle=a", "code="+code); got != want {
				t.Errorf("code %s: %v, want %v", code, got, want)
			}
		}
		w.withdraw("a")
		w.settle(30 * time.Second)
		if n := w.metric("bottled_egress_denied_total", "bottle=a", "code=dlp"); n != 0 {
			t.Errorf("a bottle that is gone has a metric: %v", n)
		}
	})
}
