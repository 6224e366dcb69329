package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

const checkedManifest = `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  supervise: true
  agent: {build: {context: ./none}}
  services: [{name: db, image: "postgres:17"}]
  egress:
    allowlist: [a.test, "b.test:8443", "*.wild.test", 10.1.2.3]
    privateCIDRs: [10.1.0.0/16]
  credProxy:
    routes:
    - {path: /api/, upstream: "https://api.test", token: {env: T}, methods: [GET]}
    - {path: /git/, upstream: "https://git.test:444", token: {env: T}}
`

func writeManifest(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCheck(t *testing.T) {
	s, _ := auditService(t)
	dir := writeManifest(t, checkedManifest)
	const provided = "its addresses are public or in 10.1.0.0/16"
	for url, want := range map[string]Check{
		"https://a.test/x":              {Allowed: true, Rule: "spec.egress.allowlist: a.test", Provided: provided},
		"a.test":                        {Allowed: true, Rule: "spec.egress.allowlist: a.test", Provided: provided},
		"a.test:22":                     {Reason: "port 22 of a.test not in allowlist"},
		"b.test:8443":                   {Allowed: true, Rule: "spec.egress.allowlist: b.test:8443", Provided: provided},
		"https://x.wild.test":           {Allowed: true, Rule: "spec.egress.allowlist: *.wild.test", Provided: provided},
		"https://10.1.2.3":              {Allowed: true, Rule: "spec.egress.allowlist: 10.1.2.3, spec.egress.privateCIDRs: 10.1.0.0/16"},
		"https://git.test:444/x":        {Allowed: true, Rule: "upstream of a route: git.test:444", Provided: provided},
		"https://evil.test":             {Reason: "domain not in allowlist: evil.test"},
		"http://supervise:9100/mcp":     {Allowed: true, Rule: "supervise: asked directly, not through pipelock"},
		"http://cred-proxy:9099/api/v1": {Allowed: true, Rule: "spec.credProxy.routes: /api/ to https://api.test"},
		"http://cred-proxy:9099":        {Rule: "no route", Reason: "no route has this path; a route's path ends with a slash"},
		"http://cred-proxy:9099/git/x.git/git-receive-pack": {Rule: "no route", Reason: "git push is not allowed from inside a bottle: commit, and have a human push from the host"},
		"http://db:8080/x":   {Allowed: true, Rule: "spec.services: db is asked directly, not through pipelock"},
		"https://cred-proxy": {Allowed: true, Rule: "component cred-proxy"},
	} {
		all, err := s.Check(CheckOptions{Bottle: "one", Dirs: []string{dir}, Method: "GET"}, []string{url})
		if err != nil || len(all) != 1 {
			t.Errorf("%s: %v", url, err)
			continue
		}
		want.URL, want.Hint = url, all[0].Hint
		if all[0] != want || (want.Hint == "") == strings.Contains(want.Reason, "not in allowlist") {
			t.Errorf("%s:\n%+v, want\n%+v", url, all[0], want)
		}
	}
	all, err := s.Check(CheckOptions{Bottle: "one", Dirs: []string{dir}, Method: "DELETE"}, []string{"http://cred-proxy:9099/api/v1"})
	if err != nil || all[0].Allowed || all[0].Reason != "route /api/ allows only GET" {
		t.Errorf("DELETE: %+v, %v", all, err)
	}
}

// TestCheckOfARecord asks the rules that were declared last.
func TestCheckOfARecord(t *testing.T) {
	s, _ := auditService(t)
	nets := declare(t, s, "one", "a.test")
	inside := "https://" + nets.Internal.Addr().Next().String()
	all, err := s.Check(CheckOptions{Bottle: "one", Method: "GET"}, []string{"https://a.test", inside})
	if err != nil || !all[0].Allowed || all[1].Allowed {
		t.Errorf("%+v, %v", all, err)
	}
	settings, err := s.Settings.StateSettings("")
	if err := errors.Join(err, store.SaveIntervention(settings, "one", state.Intervention{Cut: true})); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Check(CheckOptions{Bottle: "one", Method: "GET"}, []string{"https://a.test"}); err != nil || all[0].Allowed || !strings.Contains(all[0].Reason, "cut") {
		t.Errorf("of a bottle that is cut off: %+v, %v", all, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	s, _ := auditService(t)
	good, bad := writeManifest(t, checkedManifest), writeManifest(t, strings.Replace(checkedManifest, "supervise: true", "supervize: true", 1))
	for name, c := range map[string]struct {
		o    CheckOptions
		url  string
		says string
		code int
	}{
		"no such bottle":      {CheckOptions{Bottle: "two"}, "a.test", `there is no bottle "two"`, exit.Failed},
		"none in the folder":  {CheckOptions{Bottle: "two", Dirs: []string{good}}, "a.test", `no manifest of bottle "two"`, exit.BadInput},
		"an invalid manifest": {CheckOptions{Bottle: "one", Dirs: []string{bad}}, "a.test", "supervize", exit.BadInput},
		"no such folder":      {CheckOptions{Bottle: "one", Dirs: []string{"/none"}}, "a.test", "no such file", exit.BadInput},
		"no host":             {CheckOptions{Bottle: "one", Dirs: []string{good}}, "https:///x", "it has no host", exit.BadInput},
		"no HTTP":             {CheckOptions{Bottle: "one", Dirs: []string{good}}, "ssh://a.test", "nothing but http", exit.BadInput},
		"no URL":              {CheckOptions{Bottle: "one", Dirs: []string{good}}, "http://a.test/%zz\x1b", "invalid", exit.BadInput},
	} {
		c.o.Method = "GET"
		all, err := s.Check(c.o, []string{c.url})
		if exit.Code(err, false) != c.code || !strings.Contains(exit.Message(err), c.says) {
			t.Errorf("%s: %+v, %v, want %q", name, all, err, c.says)
		}
	}
	image := "official:1"
	s.Settings.Images = map[state.ComponentName]*string{state.Pipelock: &image}
	if _, err := s.Check(CheckOptions{Bottle: "one", Dirs: []string{good}}, []string{"a.test"}); err == nil || !strings.Contains(err.Error(), "official:1") {
		t.Errorf("of another pipelock: %v", err)
	}
}
