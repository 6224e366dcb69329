package observe

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// observe runs the command with what is observed.
func observe(t *testing.T, args string, all ...service.Observed) (out, asked string, err error) {
	t.Helper()
	var text bytes.Buffer
	err = commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
		o.Out = terminal.OnWriter(&text, false, false)
		o.Observe = func(_ context.Context, bottle string, since time.Time) ([]service.Observed, error) {
			asked = fmt.Sprint(bottle, " ", since.IsZero())
			return all, nil
		}
		return run(t.Context(), o)
	}), args)
	return text.String(), asked, err
}

func TestObserve(t *testing.T) {
	commandtest.InUTC(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	host := service.Observed{Entry: "a.test", Reason: "domain not in allowlist: a.test", Count: 3, Last: at}
	port := service.Observed{Entry: "1.2.3.4:8443", Reason: "x\n- evil.test\x1b", Count: 1, Last: at}
	secret := service.Observed{Reason: "x\n- evil.test\x1b", Count: 2, Last: at}
	for args, c := range map[string]struct {
		all   []service.Observed
		asked string
		want  string
	}{
		"one --since 1h": {all: []service.Observed{host, port, secret}, asked: "one false", want: `# What bottle one was refused. Read each host before you allow it: an agent may ask for one in order to send data there.
spec:
  egress:
    allowlist:
    - a.test  # 3 refused, last 2026-01-02 03:04:05
    - 1.2.3.4:8443  # 1 refused, last 2026-01-02 03:04:05
# What no allowlist would allow:
#   2 refused, last 2026-01-02 03:04:05: x\n- evil.test\x1b
`},
		"one --since 2h": {all: []service.Observed{{Exception: "{rule: jwt, route: /openai/}", Reason: "request body contains secret: jwt", Count: 1, Last: at}}, asked: "one false", want: `# Bottle one was refused nothing that its allowlist could allow.
# What no allowlist would allow:
#   1 refused, last 2026-01-02 03:04:05: request body contains secret: jwt; if it is none, spec.egress.dlpExceptions can have {rule: jwt, route: /openai/}
`},
		"one": {asked: "one true", want: "# Bottle one was refused nothing that its allowlist could allow.\n"},
		"one -o json": {
			all: []service.Observed{host, secret}, asked: "one true",
			want: `{"entry":"a.test","reason":"domain not in allowlist: a.test","count":3,"last":"2026-01-02T03:04:05Z"}` + "\n" +
				`{"reason":"x\n- evil.test\u001b","count":2,"last":"2026-01-02T03:04:05Z"}` + "\n",
		},
	} {
		out, asked, err := observe(t, args, c.all...)
		if diff := cmp.Diff(c.want, out); diff != "" || asked != c.asked || err != nil {
			t.Errorf("%s: asks for %q, %v (-want +got):\n%s", args, asked, err, diff)
		}
	}
	if _, _, err := observe(t, "one -o yaml"); exit.Code(err, false) != exit.BadInput {
		t.Errorf("-o yaml: %v", err)
	}
}

// TestManyHosts reads the allowlist of an agent that asked for a thousand hosts.
func TestManyHosts(t *testing.T) {
	var all []service.Observed
	for i := range 1000 {
		all = append(all, service.Observed{Entry: fmt.Sprintf("h%d.test", i), Count: 1, Reason: "r"})
	}
	out, _, err := observe(t, "one", all...)
	var m v1alpha1.Bottle
	if err := yaml.UnmarshalStrict([]byte(out), &m); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(m.Spec.Egress.Allowlist) != shown || !strings.HasSuffix(out, "    # … 950 more\n") {
		t.Errorf("%d hosts, %v\n%s", len(m.Spec.Egress.Allowlist), err, out)
	}
}
