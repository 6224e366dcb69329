package edit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func newRoute(path, host string) route.Route {
	return route.Route{Path: path, Upstream: "https://" + host, Token: route.SecretRef{Env: "NEW_TOKEN"}}
}

// limited is an entry that allows a host for some time.
var limited = v1alpha1.AllowedHost{Host: "b.example.com", Until: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}

// changes are those that are made to each file; most files don't have all of the fields.
var changes = []Change{
	Append("spec.egress.allowlist", "new.example.com"),
	Append("spec.egress.allowlist", "[fd12::1]:8443"),
	Append("spec.egress.allowlist", limited),
	Append("spec.credProxy.routes", newRoute("/new/", "new.example.com")),
	Set("spec.supervise", false),
	Set("spec.egress.dlpAction", "block"),
	Set("spec.egress", map[string]any{"allowlist": []string{"only.example.com"}}),
	Set("spec.egress.allowlist", []string{"first.example.com", "*.example.org"}),
	Set("spec.egress.allowlist[0]", "first.example.com"),
	Set("spec.credProxy.routes[0].upstream", "https://other.example.com"),
	Set("spec.credProxy.routes[0].authScheme", "token"),
	Set("spec.credProxy.routes[1]", newRoute("/second/", "second.example.com")),
	Set("spec.agent.env.NEW", "it's \"quoted\"\nand\thas lines"),
	Remove("spec.egress.allowlist[0]"),
	Remove("spec.egress.allowlist[1]"),
	Remove("spec.egress.allowlist[2]"),
	Remove("spec.egress.dlpAction"),
	Remove("spec.credProxy.routes[0].path"),
	Remove("spec.credProxy.routes[0]"),
	Remove("spec.credProxy.routes[1]"),
	Remove("spec.credProxy.routes[2]"),
	Remove("spec.agent.env.FOLDED"),
	Remove("spec.agent.env.KEEP"),
	Remove("spec.agent"),
}

func TestGoldens(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		if strings.HasSuffix(input, ".golden") {
			continue
		}
		content, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, c := range changes {
			after, err := Apply(filepath.Base(input), content, "dev", c)
			switch {
			case errors.Is(err, ErrUneditable) && strings.Contains(err.Error(), "there is no"):
				continue
			case err != nil:
				fmt.Fprintf(&out, "# %s\n%v\n\n", c, err)
			default:
				fmt.Fprintf(&out, "# %s\n%s\n", c, Diff(filepath.Base(input), content, after))
			}
		}
		golden.Check(t, input+".golden", out.String())
	}
}
