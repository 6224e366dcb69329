package check

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

func TestCheck(t *testing.T) {
	allowed := service.Check{URL: "https://a.test", Allowed: true, Rule: "spec.egress.allowlist: a.test", Provided: "its addresses are public", Warning: "x"}
	refused := service.Check{URL: "http://b\x1b", Reason: "domain not in allowlist: b", Hint: "Ask for it."}
	for args, c := range map[string]struct {
		checks []service.Check
		err    error
		asked  string
		shows  string
		code   int
	}{
		"one https://a.test": {
			checks: []service.Check{allowed}, asked: "{one [] GET} [https://a.test]",
			shows: "ALLOW  https://a.test  spec.egress.allowlist: a.test, if its addresses are public; warning: x\n",
		},
		"one a b --dir x --dir y --method POST": {
			checks: []service.Check{allowed, refused}, asked: "{one [x y] POST} [a b]", code: exit.FoundDifferences,
			shows: "ALLOW  https://a.test  spec.egress.allowlist: a.test, if its addresses are public; warning: x\n" +
				`DENY   http://b\x1b  domain not in allowlist: b` + "\n       Ask for it.\n",
		},
		"one b -o json": {
			checks: []service.Check{refused}, asked: "{one [] GET} [b]", code: exit.FoundDifferences,
			shows: `{"url":"http://b\u001b","allowed":false,"reason":"domain not in allowlist: b","hint":"Ask for it."}` + "\n",
		},
		"one b":         {err: errors.New("gone"), asked: "{one [] GET} [b]", code: exit.Failed},
		"one":           {code: exit.Failed}, // a usage error by the root
		"one b -o yaml": {code: exit.BadInput},
	} {
		var out bytes.Buffer
		asked := ""
		err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out = terminal.OnWriter(&out, false, false)
			o.Check = func(of service.CheckOptions, urls []string) ([]service.Check, error) {
				asked = fmt.Sprint(of, " ", urls)
				return c.checks, c.err
			}
			return run(o)
		}), args)
		if diff := cmp.Diff(c.shows, out.String()); diff != "" || asked != c.asked || exit.Code(err, false) != c.code {
			t.Errorf("%s: asks for %q, %v (-want +got):\n%s", args, asked, err, diff)
		}
	}
}
