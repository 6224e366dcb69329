package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
)

// planner is a command.Planner with an outcome.
type planner struct {
	snapshot source.Snapshot
	planned  service.Planned
	err      error
}

func (p planner) Load([]string) (source.Snapshot, error) { return p.snapshot, p.err }

func (p planner) Plan(context.Context, source.Snapshot, pass.Options) (service.Planned, error) {
	return p.planned, p.err
}

func TestPlan(t *testing.T) {
	steps := plan.Plan{Bottles: []plan.BottlePlan{{Slug: "a", Steps: []plan.Step{{Action: plan.Remove, Object: "x"}}}}}
	failing := plan.Plan{Bottles: []plan.BottlePlan{{Slug: "a", Err: errors.New("foreign")}, {Slug: "b"}}}
	invalid := plan.Plan{Bottles: []plan.BottlePlan{{Slug: "a", Err: reconciler.ErrInvalid}}}
	problem := source.Snapshot{Problems: []parse.Problem{{}}}
	for name, c := range map[string]struct {
		planner planner
		output  command.Output
		code    int
		says    string // as the error
		errs    string // on stderr
	}{
		"nothing to do":       {output: "table", code: exit.Done},
		"something to do":     {planner: planner{planned: service.Planned{Plan: steps}}, output: "json", code: exit.FoundDifferences},
		"a bottle that fails": {planner: planner{planned: service.Planned{Plan: failing}}, output: "table", code: exit.Failed, says: "1 of 2 bottles not as declared"},
		"an invalid manifest": {planner: planner{planned: service.Planned{Plan: invalid}, snapshot: problem}, output: "table", code: exit.BadInput, says: "1 problem in the manifests"},
		"held":                {planner: planner{planned: service.Planned{Plan: plan.Plan{Held: []string{"old"}, HeldWhy: "all are gone"}}}, output: "table", code: exit.Done, errs: "kept, though not declared: [old] (all are gone)\n"},
		"prune is refused":    {planner: planner{planned: service.Planned{Plan: plan.Plan{PruneErr: errors.New("refused"), Held: []string{"old"}}}}, output: "table", code: exit.Failed, says: "refused"},
		"no engine":           {planner: planner{err: errors.New("no engine")}, output: "table", code: exit.Failed, says: "no engine"},
	} {
		var out, errs bytes.Buffer
		streams := command.Streams{Out: terminal.OnWriter(&out, false, false), Errs: terminal.OnWriter(&errs, false, false)}
		err := streams.Plan(t.Context(), c.planner, []string{"dir"}, pass.Options{}, c.output)
		if exit.Code(err, false) != c.code || err != nil && !strings.Contains(exit.Message(err), c.says) {
			t.Errorf("%s: %v (code %d), want %q (code %d)", name, err, exit.Code(err, false), c.says, c.code)
		}
		if c.errs != "" && errs.String() != c.errs {
			t.Errorf("%s: stderr %q, want %q", name, &errs, c.errs)
		}
	}
}

func TestPassFlags(t *testing.T) {
	for prune, valid := range map[string]bool{"guarded": true, "all": true, "none": true, "some": false, "": false} {
		var flags command.PassFlags
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		flags.AddFlags(f)
		err := f.Parse([]string{"--deep", "--prune=" + prune})
		if _, o, _ := flags.Options([]string{"dir"}); (err == nil) != valid || valid && (string(o.Prune) != prune || !o.Deep) {
			t.Errorf("--prune %q: %+v, %v", prune, o, err)
		}
	}
}

// A part of the manifests, from files or stdin, removes nothing that it does not declare.
func TestPartOfTheManifests(t *testing.T) {
	for args, want := range map[string]string{
		"dir":                    "[dir] guarded",
		"-f a.yaml -f b.yaml":    "[a.yaml b.yaml] partial",
		"-f -":                   "[-] partial",
		"-":                      "[-] partial",
		"- --prune none":         "[-] partial",
		"- --prune all":          "name the directory",
		"dir -f a.yaml":          "one of the two",
		"-f a.yaml --prune all":  "name the directory",
		"dir --prune all --deep": "[dir] all",
	} {
		var flags command.PassFlags
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		flags.AddFlags(f)
		if err := f.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		paths, o, err := flags.Options(f.Args())
		if got := fmt.Sprint(paths, " ", o.Prune); err == nil && got != want || err != nil && (exit.Code(err, false) != exit.BadInput || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %s, %v, want %s", args, got, err, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]service.Target{"one": {Bottle: "one"}, "one/agent": {Bottle: "one", Component: state.Agent}} {
		if got, err := command.ParseTarget(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/agent", "one/", "one/nope", "one/session"} {
		if got, err := command.ParseTarget(text); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
