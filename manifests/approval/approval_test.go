package approval

import (
	"reflect"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const block = v1alpha1.ToolPipelockBlock

func auto(rules ...v1alpha1.AutoRule) *v1alpha1.Approvals {
	return &v1alpha1.Approvals{Auto: append([]v1alpha1.AutoRule{}, rules...)}
}

func hosts(hosts ...string) v1alpha1.AutoRule {
	return v1alpha1.AutoRule{Tool: block, Hosts: hosts, Max: 20}
}

func within(text string, rule v1alpha1.AutoRule) v1alpha1.AutoRule {
	rule.For = text
	return rule
}

func policyOf(a *v1alpha1.Approvals) *v1alpha1.ApprovalPolicy {
	if a == nil {
		return nil
	}
	return &v1alpha1.ApprovalPolicy{Spec: *a}
}

// TestAuto: a bottle narrows what the policy approves, and never widens it.
func TestAuto(t *testing.T) {
	wide, narrow := hosts("*.npmjs.org"), hosts("registry.npmjs.org")
	for name, c := range map[string]struct {
		bottle, policy *v1alpha1.Approvals
		tool, host     string
		port           uint16
		ok             bool
		lasts          time.Duration
		limits         int
	}{
		"no rule":                      {host: "a.test"},
		"policy":                       {policy: auto(wide), host: "registry.npmjs.org", ok: true, limits: 1},
		"bottle":                       {bottle: auto(wide), host: "registry.npmjs.org", ok: true, limits: 1},
		"both":                         {bottle: auto(narrow), policy: auto(wide), host: "registry.npmjs.org", ok: true, limits: 2},
		"narrowed by the bottle":       {bottle: auto(narrow), policy: auto(wide), host: "www.npmjs.org"},
		"not widened by the bottle":    {bottle: auto(wide), policy: auto(narrow), host: "www.npmjs.org"},
		"nothing in the bottle":        {bottle: auto(), policy: auto(wide), host: "registry.npmjs.org"},
		"nothing in the policy":        {bottle: auto(wide), policy: auto(), host: "registry.npmjs.org"},
		"policy without auto":          {bottle: auto(wide), policy: &v1alpha1.Approvals{}, host: "registry.npmjs.org"},
		"bottle without auto":          {bottle: &v1alpha1.Approvals{ExpireAfter: "1h"}, policy: auto(wide), host: "registry.npmjs.org", ok: true, limits: 1},
		"the shorter time, bottle's":   {bottle: auto(within("1h", wide)), policy: auto(within("2h", wide)), host: "a.npmjs.org", ok: true, lasts: time.Hour, limits: 2},
		"the shorter time, policy's":   {bottle: auto(within("3h", wide)), policy: auto(within("2h", wide)), host: "a.npmjs.org", ok: true, lasts: 2 * time.Hour, limits: 2},
		"a time in the policy only":    {bottle: auto(wide), policy: auto(within("2h", wide)), host: "a.npmjs.org", ok: true, lasts: 2 * time.Hour, limits: 2},
		"the first rule that matches":  {bottle: auto(narrow, within("1h", wide), wide), host: "a.npmjs.org", ok: true, lasts: time.Hour, limits: 1},
		"another tool":                 {bottle: auto(wide), tool: "cred-proxy-block", host: "a.npmjs.org"},
		"a wildcard and its base":      {bottle: auto(wide), host: "npmjs.org", ok: true, limits: 1},
		"a wildcard, deeper":           {bottle: auto(wide), host: "a.b.npmjs.org", ok: true, limits: 1},
		"a wildcard, not its suffix":   {bottle: auto(wide), host: "evilnpmjs.org"},
		"a name, not below it":         {bottle: auto(narrow), host: "a.registry.npmjs.org"},
		"a name that ends in a dot":    {bottle: auto(narrow), host: "registry.npmjs.org."},
		"a wildcard that is asked for": {bottle: auto(wide), host: "*.npmjs.org"},
		"a wildcard below it":          {bottle: auto(wide), host: "*.a.npmjs.org"},
		"an empty host":                {bottle: auto(wide), host: ""},
		"plain HTTP":                   {bottle: auto(narrow), host: "registry.npmjs.org", port: 80, ok: true, limits: 1},
		"another port":                 {bottle: auto(narrow), host: "registry.npmjs.org", port: 8443},
		"that port":                    {bottle: auto(hosts("git.test.org:8443")), host: "git.test.org", port: 8443, ok: true, limits: 1},
		"not that port":                {bottle: auto(hosts("git.test.org:8443")), host: "git.test.org"},
		"a wildcard's port":            {bottle: auto(hosts("*.test.org:8443")), host: "git.test.org", port: 8443, ok: true, limits: 1},
		"an address":                   {bottle: auto(hosts("192.168.7.9")), host: "192.168.7.9"},
	} {
		t.Run(name, func(t *testing.T) {
			b := v1alpha1.Bottle{Spec: v1alpha1.Spec{Supervise: true, Approvals: c.bottle}}
			if c.tool == "" {
				c.tool = block
			}
			if c.port == 0 {
				c.port = 443
			}
			rule, ok := Auto(b, policyOf(c.policy), c.tool, c.host, c.port)
			if ok != c.ok || ok && (rule.For != c.lasts || len(rule.Limits) != c.limits) {
				t.Errorf("%v, %+v", ok, rule)
			}
			b.Spec.Supervise = false
			if rule, ok := Auto(b, policyOf(c.policy), c.tool, c.host, c.port); ok {
				t.Errorf("without supervise: %+v", rule)
			}
		})
	}
}

// TestLimits: both limits hold, and each goes by the name of its own rule.
func TestLimits(t *testing.T) {
	own, all := hosts("registry.npmjs.org"), hosts("*.npmjs.org", "pypi.org")
	own.Max, all.Max = 3, 0
	b := v1alpha1.Bottle{Spec: v1alpha1.Spec{Supervise: true, Approvals: auto(own)}}
	rule, ok := Auto(b, policyOf(auto(all)), block, "registry.npmjs.org", 443)
	want := []Limit{{"bottle: pipelock-block registry.npmjs.org", 3}, {"policy: pipelock-block *.npmjs.org,pypi.org", 20}}
	if !ok || !reflect.DeepEqual(rule.Limits, want) {
		t.Errorf("%v %+v", ok, rule.Limits)
	}
}

// TestExpireAfter: a bottle may shorten the time, and not prolong it.
func TestExpireAfter(t *testing.T) {
	for _, c := range []struct {
		bottle, policy *v1alpha1.Approvals
		want           time.Duration
	}{
		{nil, nil, 24 * time.Hour},
		{&v1alpha1.Approvals{ExpireAfter: "72h"}, nil, 72 * time.Hour},
		{nil, &v1alpha1.Approvals{ExpireAfter: "8h"}, 8 * time.Hour},
		{&v1alpha1.Approvals{ExpireAfter: "1h"}, &v1alpha1.Approvals{ExpireAfter: "8h"}, time.Hour},
		{&v1alpha1.Approvals{ExpireAfter: "72h"}, &v1alpha1.Approvals{ExpireAfter: "8h"}, 8 * time.Hour},
		{&v1alpha1.Approvals{ExpireAfter: "72h"}, &v1alpha1.Approvals{}, 24 * time.Hour},
		{&v1alpha1.Approvals{}, &v1alpha1.Approvals{ExpireAfter: "72h"}, 72 * time.Hour},
	} {
		if got := ExpireAfter(v1alpha1.Bottle{Spec: v1alpha1.Spec{Approvals: c.bottle}}, policyOf(c.policy)); got != c.want {
			t.Errorf("%+v, %+v: %v", c.bottle, c.policy, got)
		}
	}
}
