package approve

import (
	"testing"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func TestHasChange(t *testing.T) {
	type spec = v1alpha1.Spec
	hosts := func(hosts ...string) spec { return spec{Egress: v1alpha1.Egress{Allowlist: v1alpha1.Allow(hosts...)}} }
	routes := func(methods ...string) spec {
		return spec{CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Path: "/a/", Methods: methods}}}}
	}
	command := func(words ...string) spec { return spec{Agent: &v1alpha1.Agent{Command: words}} }
	for name, c := range map[string]struct {
		before, after, now spec
		want               bool
	}{
		"no change":              {hosts("a"), hosts("a"), hosts("b"), true},
		"added":                  {hosts("a"), hosts("a", "b"), hosts("b", "c"), true},
		"not added yet":          {hosts("a"), hosts("a", "b"), hosts("a", "c"), false},
		"added to nothing":       {spec{}, hosts("b"), hosts("b", "c"), true},
		"added, and all is gone": {hosts("a"), hosts("a", "b"), spec{}, false},
		"replaced":               {hosts("a"), hosts("b"), hosts("c", "b"), true},
		"replaced, and kept":     {hosts("a"), hosts("b"), hosts("a", "b"), false},
		"all removed":            {hosts("a"), spec{}, spec{}, true},
		"not all removed":        {hosts("a"), spec{}, hosts("b"), false},
		"another order":          {command("a", "b"), command("b", "a"), command("a", "b"), false},
		"in the other order":     {command("a", "b"), command("b", "a"), command("b", "a"), true},
		"a field of an element":  {routes("GET"), routes("GET", "PUT"), routes("GET", "PUT"), true},
		"another one of it":      {routes("GET"), routes("GET", "PUT"), routes("GET"), false},
		"a new section":          {spec{}, routes("GET"), spec{}, false},
		"a section goes":         {routes("GET"), spec{}, routes("GET"), false},
		"a flag":                 {spec{}, spec{Suspend: true}, spec{Suspend: true, Supervise: true}, true},
		"not a flag":             {spec{Suspend: true}, spec{}, spec{Suspend: true}, false},
	} {
		bottle := func(s spec) v1alpha1.Bottle { return v1alpha1.Bottle{Spec: s} }
		if got, err := hasChange(bottle(c.before), bottle(c.after), bottle(c.now)); got != c.want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}
