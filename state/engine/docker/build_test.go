package docker

import (
	"errors"
	"io"
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
		{
			"a base image that nobody has", `{"stream":"Step 1/2 : FROM acme/base:1"}{"stream":"\n"}{"errorDetail":{"message":"pull access denied"},"error":"pull access denied"}`,
			"pull access denied; the base image could not be pulled: load it (docker load), or log in to its registry (docker login); the build's last output:\n    Step 1/2 : FROM acme/base:1", false,
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

func TestAdvice(t *testing.T) {
	for text, advised := range map[string]bool{
		"Error response from daemon: Unknown runtime specified gvisor": true, "unknown or invalid runtime name: gvisor": true, "Error response from daemon: no space left": false,
	} {
		err := adviseRuntime(errors.New(text))
		if strings.Contains(err.Error(), runtimeAdvice) != advised || !strings.HasPrefix(err.Error(), text) {
			t.Error(err)
		}
	}
	if err := adviseImage(errors.New("manifest unknown")); !strings.HasSuffix(err.Error(), imageAdvice) {
		t.Error(err)
	}
	if err := adviseImage(io.EOF); err != io.EOF || adviseImage(nil) != nil { //nolint:errorlint // the very same
		t.Errorf("of an engine that is gone: %v", err)
	}
}
