package docker

import (
	"errors"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/engine"
)

// TestFollow reads what builds wrote, as the engine sends it.
func TestFollow(t *testing.T) {
	const begin = `{"stream":"Step 1/2 : FROM scratch"}{"stream":"\n"}{"stream":" ---\u003e \n"}`
	cases := []struct {
		name, stream string
		want         string // "" for success
		gone         bool
	}{
		{"a success", begin + `{"aux":{"ID":"sha256:1"}}{"stream":"Successfully built 1\n"}`, "", false},
		{
			"a failed command", begin + `{"stream":"\u001b[91mno such\u0007 host\n\u001b[0m"}{"stream":"Removing intermediate container 1\n"}` +
				`{"errorDetail":{"code":1,"message":"The command 'x' returned a non-zero code: 1"},"error":"The command 'x' returned a non-zero code: 1"}`,
			"The command 'x' returned a non-zero code: 1; the build's last output:\n    Step 1/2 : FROM scratch\n    no such\\a host", false,
		},
		{"a failure at once", `{"errorDetail":{"message":"no"},"error":"no"}`, "no", false},
		{"an engine that dies", begin, "the engine does not answer: the build's output ended before the build; the build's last output:\n    Step 1/2 : FROM scratch", true},
		{"an engine that dies in a message", begin + `{"stre`, "unexpected EOF; the build's last output:\n    Step 1/2 : FROM scratch", false},
		{"much output", strings.Repeat(`{"stream":"line\n"}`, 10_000) + `{"errorDetail":{"message":"no"}}`, "no; the build's last output:" + strings.Repeat("\n    line", 10), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := followBuild(strings.NewReader(c.stream))
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("%v\nwant: %s", err, c.want)
			case errors.Is(err, engine.ErrUnavailable) != c.gone:
				t.Errorf("the engine counts as gone: %v", !c.gone)
			}
		})
	}
}
