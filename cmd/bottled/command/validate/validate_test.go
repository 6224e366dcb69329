package validate

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// TestValidate: a wrong path, with no bottle in it, must not make a job of CI green.
func TestValidate(t *testing.T) {
	bottles := make([]v1alpha1.Bottle, 2)
	problem := parse.Problem{File: "a.yaml", Line: 1, Column: 2, Field: "spec", Reason: "wrong", Fix: "right"}
	for name, c := range map[string]struct {
		args     string
		snapshot source.Snapshot
		code     int
		says     string
	}{
		"valid":          {"dir", source.Snapshot{Bottles: bottles, Files: 1}, exit.Done, "2 bottles in 1 file: all valid"},
		"a problem":      {"dir", source.Snapshot{Bottles: bottles, Problems: []parse.Problem{problem}}, exit.BadInput, "a.yaml:1:2: spec: wrong; right\n1 problem in the manifests"},
		"a warning":      {"dir", source.Snapshot{Bottles: bottles, Files: 2, Warnings: []parse.Problem{problem}}, exit.Done, "warning: a.yaml:1:2: spec: wrong; right\n2 bottles in 2 files"},
		"empty":          {"one two", source.Snapshot{}, exit.BadInput, "no bottle is declared in one, two: check the path"},
		"foreign only":   {"dir", source.Snapshot{Foreign: []string{"compose.yaml"}}, exit.BadInput, "compose.yaml (list them in .bottledignore to silence this)\nno bottle is declared in dir"},
		"empty, allowed": {"--allow-empty dir", source.Snapshot{}, exit.Done, "0 bottles in 0 files: all valid"},
		"a problem only": {"--allow-empty dir", source.Snapshot{Problems: []parse.Problem{problem}}, exit.BadInput, "1 problem in the manifests"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			streams := command.Streams{Out: terminal.OnWriter(&out, false, false), Errs: terminal.OnWriter(&out, false, false)}
			err := commandtest.Execute(t, New(&command.Factory{Streams: streams, Service: &service.Service{}}, func(opts *Options) error {
				opts.Validate = func(context.Context, []string) (source.Snapshot, error) { return c.snapshot, nil }
				return run(t.Context(), opts)
			}), c.args)
			if err != nil {
				out.WriteString(exit.Message(err))
			}
			if code := exit.Code(err, false); code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, c.code, &out, c.says)
			}
		})
	}
}
