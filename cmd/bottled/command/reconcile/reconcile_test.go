package reconcile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// fakeService is a Reconciler that records what it is asked for.
type fakeService struct {
	asked  string
	result service.PassResult
	err    error
}

func (f *fakeService) Load([]string) (source.Snapshot, error) { return source.Snapshot{}, nil }

func (f *fakeService) Plan(context.Context, source.Snapshot, pass.Options) (service.Planned, error) {
	f.asked = "plan"
	return service.Planned{}, nil
}

func (f *fakeService) Reconcile(context.Context, source.Snapshot, pass.Options, func(execute.Progress)) (service.PassResult, error) {
	f.asked = "pass"
	return f.result, f.err
}

func (f *fakeService) Control(_ context.Context, o service.ControlOptions) error {
	f.asked = "control " + strings.Join(append(o.Paths, o.Git.URL, string(o.Prune)), " ")
	return nil
}

func parse(t *testing.T, args string) (opts *Options, err error) {
	t.Helper()
	cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error { opts = o; return nil })
	return opts, commandtest.Execute(t, cmd, args)
}

func TestFlags(t *testing.T) {
	for args, asked := range map[string]string{
		"dir":                            "control dir  guarded",
		"--git https://x#b --prune none": "control https://x#b none",
		"dir --once":                     "pass",
		"--once -f x.yaml":               "pass",
		"dir --dry-run":                  "plan",
	} {
		opts, err := parse(t, args)
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeService{}
		opts.Service, opts.Out = f, terminal.OnWriter(io.Discard, false, false)
		if err := run(t.Context(), opts); err != nil || f.asked != asked {
			t.Errorf("%s: asks for %q, %v, want %q", args, f.asked, err, asked)
		}
	}
	for _, args := range []string{"", "dir --git https://x", "--git https://x --once", "--git https://x --dry-run", "dir --prune some", "-f x.yaml", "-"} {
		if _, err := parse(t, args); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestOnce(t *testing.T) {
	failed := map[string]error{"a": errors.New("no image")}
	for name, c := range map[string]struct {
		result service.PassResult
		err    error
		out    string
		says   string
		warned string
	}{
		"done": {
			result: service.PassResult{Result: pass.Result{Bottles: []reconciler.BottleStatus{apitest.Bottle("a", "Ready", "")}}},
			out:    "BOTTLE   COMPONENT   READY   STATE   IMAGE\na                    yes     Ready\n",
		},
		"a bottle fails": {
			result: service.PassResult{
				Result:   pass.Result{Failed: failed, Plan: plan.Plan{Bottles: []plan.BottlePlan{{Slug: "a"}}}},
				Warnings: []string{"a door"},
			},
			out: "no bottles\n", says: "1 of 1 bottle not as declared", warned: `"message":"a door"`,
		},
		"no engine": {result: service.PassResult{Warnings: []string{"a door"}}, err: errors.New("gone"), says: "gone", warned: `"message":"a door"`},
	} {
		var out, log bytes.Buffer
		logger := zerolog.New(&log)
		err := run(t.Context(), &Options{
			Streams: command.Streams{Out: terminal.OnWriter(&out, false, false)}, Service: &fakeService{result: c.result, err: c.err},
			Log: &logger, Once: true, Output: "table",
		})
		if out.String() != c.out || (err == nil) != (c.says == "") || err != nil && err.Error() != c.says || !strings.Contains(log.String(), c.warned) {
			t.Errorf("%s: %q, %v, log %s; want %q, %q, %q", name, &out, err, &log, c.out, c.says, c.warned)
		}
	}
}
