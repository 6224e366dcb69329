package service

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// declare records a bottle that was declared with an allowlist.
func declare(t *testing.T, s *Service, name string, allowlist ...string) state.Subnets {
	t.Helper()
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	var m v1alpha1.Bottle
	m.Metadata.Name, m.Source.Path, m.Spec.Egress.Allowlist = name, "/m/"+name+".yaml", v1alpha1.Allow(allowlist...)
	nets, _ := state.Allocate(settings.Pool, []string{name}, nil, nil)
	b, err := render.Bottle(m, resolve.Inputs{Hosts: allowlist}, nets[name], settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveRecord(settings, b); err != nil {
		t.Fatal(err)
	}
	return nets[name]
}

func TestObserve(t *testing.T) {
	s, _ := auditService(t)
	declare(t, s, "one", "since.test", "plain.test:80")
	denied := func(second int, rest string) string {
		return fmt.Sprintf(`{"time":"2026-01-01T00:00:%02dZ","kind":"egress","action":"deny",%s}`, second, rest)
	}
	const host, port = `"code":"host_not_allowed","reason":"domain not in allowlist"`, `"code":"port_not_allowed","reason":"port not in allowlist"`
	writeAudit(t, s, "one",
		denied(1, `"method":"CONNECT","host":"a.test","port":443,`+host),
		denied(2, `"method":"GET","host":"a.test","port":80,`+host),
		denied(3, `"host":"b.test","port":8443,"count":7,`+port),
		denied(3, `"method":"CONNECT","host":"d.test","port":80,"count":3,`+port),
		denied(4, `"host":"since.test","port":443,`+host),
		denied(4, `"method":"GET","host":"plain.test","port":80,`+host),
		denied(5, `"host":"localhost","port":443,`+host),
		denied(6, `"host":"x\u001b[2J","port":443,`+host),
		denied(7, `"code":"dlp","reason":"request URL contains secret: github-pat"`),
		denied(8, `"host":"169.254.169.254","port":80,"code":"address_blocked","reason":"SSRF blocked"`),
		`{"time":"2026-01-01T00:00:09Z","kind":"egress","action":"allow","host":"c.test","port":443}`,
		`{"time":"2026-01-01T00:00:10Z","kind":"request","phase":"end","route":"/x/","refused":true,"status":"405","reason":"route /x/ allows only GET"}`,
		`{"time":"2026-01-01T00:00:11Z","kind":"request","phase":"end","route":"/x/","refused":true,"status":"404"}`,
		`{"time":"2026-01-01T00:00:12Z","kind":"gap","lost":3,"dropped":{"egress":2}}`)
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	want := []Observed{
		{"b.test:8443", "", "port not in allowlist", 8443, 7, at(3)},
		{"d.test:80", "", "port not in allowlist", 80, 3, at(3)},
		{"a.test", "", "domain not in allowlist", 80, 2, at(2)},
		{"", "", "of any outcome, missing in the log", 0, 5, at(12)},
		{"", "", "domain not in allowlist", 0, 2, at(6)},
		{"", "", "SSRF blocked", 0, 1, at(8)},
		{"", "", "refused with status 404", 0, 1, at(11)},
		{"", "", "request URL contains secret: github-pat", 0, 1, at(7)},
		{"", "", "route /x/ allows only GET", 0, 1, at(10)},
	}
	got, err := s.Observe(t.Context(), "one", time.Time{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := s.Observe(t.Context(), "one", at(11)); err != nil || len(got) != 2 {
		t.Errorf("of the last second: %+v, %v", got, err)
	}
	writeAudit(t, s, "gone", denied(1, `"host":"since.test","port":443,`+host))
	if got, err := s.Observe(t.Context(), "gone", time.Time{}); err != nil || len(got) != 1 || got[0].Entry != "since.test" {
		t.Errorf("of a bottle that is gone: %+v, %v", got, err)
	}
	if got, err := s.Observe(t.Context(), "none", time.Time{}); err == nil {
		t.Errorf("of none: %+v", got)
	}
}

// TestObserveExceptions: what a rule has found is shown with the exception that lets it pass, unless the manifest has it.
func TestObserveExceptions(t *testing.T) {
	s, _ := auditService(t)
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	m := v1alpha1.Bottle{Metadata: v1alpha1.Metadata{Name: "one"}, Source: v1alpha1.Source{Path: "/m/one.yaml"}}
	m.Spec.CredProxy = &v1alpha1.CredProxy{Routes: []route.Route{{Path: "/openai/", Upstream: "https://api.openai.com", Token: route.SecretRef{Env: "T"}}}}
	m.Spec.Egress.DLPExceptions = []v1alpha1.DLPException{{Rule: "private-key", Route: "/openai/"}}
	nets, _ := state.Allocate(settings.Pool, []string{"one"}, nil, nil)
	b, err := render.Bottle(m, resolve.Inputs{Tokens: map[string]state.Content{state.TokenSlot(route.SecretRef{Env: "T"}): state.NewContent([]byte("t"))}}, nets["one"], settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveRecord(settings, b); err != nil {
		t.Fatal(err)
	}
	denied := func(rest string) string {
		return `{"time":"2026-01-01T00:00:01Z","kind":"egress","action":"deny","method":"POST","code":"dlp","reason":"request body contains secret",` + rest + `}`
	}
	writeAudit(t, s, "one",
		denied(`"host":"cred-proxy","port":9099,"path":"/openai/v1/responses","rule":"jwt"`),
		denied(`"host":"cred-proxy","port":9099,"path":"/openai/v1/responses","rule":"private-key"`),
		denied(`"host":"cred-proxy","port":9099,"path":"/other/","rule":"jwt"`),
		denied(`"host":"a.test","port":80,"rule":"jwt"`),
		denied(`"host":"a.test","port":8080,"rule":"jwt"`),
		denied(`"host":"a.test","port":80,"rule":"jwt, host: x}"`),
		denied(`"host":"x} y","port":80,"rule":"jwt"`))
	got, err := s.Observe(t.Context(), "one", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, o := range got {
		counts[o.Exception] += o.Count
	}
	if diff := cmp.Diff(map[string]uint64{
		"{rule: jwt, route: /openai/}": 1, `{rule: jwt, host: "a.test"}`: 1, `{rule: jwt, host: "a.test:8080"}`: 1, "": 3,
	}, counts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
