package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// source is a Source with a status that changes.
type source struct {
	status  reconciler.Status
	changes []reconciler.Status
	err     error
}

func (s source) Get(context.Context) (reconciler.Status, error) { return s.status, s.err }

func (s source) Follow(_ context.Context, show func(reconciler.Status) error, report func(error)) error {
	for _, status := range append([]reconciler.Status{s.status}, s.changes...) {
		if err := show(status); err != nil {
			return err
		}
	}
	if s.err != nil {
		report(s.err)
	}
	return nil
}

func optionsFor(s source, out io.Writer) *Options {
	return &Options{
		Streams: command.Streams{Out: terminal.OnWriter(out, false, false)}, Output: "table",
		Source: func() (Source, error) { return s, nil },
	}
}

func TestFlags(t *testing.T) {
	f := &command.Factory{Service: &service.Service{}}
	var got *Options
	cmd := New(f, func(o *Options) error { got = o; return nil })
	if err := commandtest.Execute(t, cmd, "a b -w -o json"); err != nil || !got.Watch || got.Output != "json" || !slices.Equal(got.Bottles, []string{"a", "b"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := commandtest.Execute(t, cmd, "-o xml"); exit.Code(err, false) != exit.BadInput {
		t.Errorf("-o xml: %v", err)
	}
}

func TestOutput(t *testing.T) {
	want := apitest.Status(apitest.WithConditions(apitest.Bottle("a", "Ready", "", apitest.Component(state.Pipelock, "running", 2)), 0, "", ""),
		apitest.Bottle("b", "Failed", "<&>"))
	show := func(output command.Output, bottles ...string) (string, error) {
		var out bytes.Buffer
		opts := optionsFor(source{status: want}, &out)
		opts.Output, opts.Bottles = output, bottles
		err := run(t.Context(), opts)
		return out.String(), err
	}
	for output, read := range map[command.Output]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(data []byte, v any) error { return yaml.UnmarshalStrict(data, v) },
	} {
		var got reconciler.Status
		text, err := show(output)
		if err := errors.Join(err, read([]byte(text), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", output, diff)
		}
	}
	if text, err := show("table", "b"); err != nil || strings.Contains(text, "\na ") || !strings.Contains(text, "b: <&>") {
		t.Errorf("one bottle: %v\n%s", err, text)
	}
	if text, err := show("table", "b", "x", "y"); err == nil || !strings.HasPrefix(err.Error(), "there is no bottle \"x\": ") || !strings.Contains(err.Error(), "\nthere is no bottle \"y\": ") || text != "" {
		t.Errorf("missing: %v\n%s", err, text)
	}
}

func TestNoBottlesIsAList(t *testing.T) {
	var out bytes.Buffer
	opts := optionsFor(source{}, &out)
	opts.Output = "json"
	if err := run(t.Context(), opts); err != nil || out.String() != "{\n  \"bottles\": []\n}\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// watchOutput follows a few changes without a terminal.
func watchOutput(t *testing.T, output command.Output, bottles ...string) string {
	t.Helper()
	var s source
	for i, reason := range []string{"Ready", "Failed", "Drifted"} {
		next := apitest.Status(apitest.Bottle("a", reason, ""), apitest.Bottle("b", "Ready", ""))
		next.Controller.Syncs = int64(i + 1)
		s.changes = append(s.changes, next)
	}
	s.status = s.changes[0]
	var out bytes.Buffer
	opts := optionsFor(s, &out)
	opts.Output, opts.Bottles, opts.Watch = output, bottles, true
	if err := run(t.Context(), opts); err != nil {
		t.Error(err)
	}
	return out.String()
}

func TestWatchWithoutTerminal(t *testing.T) {
	tables := strings.Split(watchOutput(t, "table", "a", "none"), "\n\n")
	if len(tables) != 3 {
		t.Fatalf("%d tables: %q", len(tables), tables)
	}
	for _, table := range tables {
		if !strings.HasPrefix(table, "BOTTLE") || !strings.Contains(table, "\na ") || strings.Contains(table, "\nb ") ||
			!strings.Contains(table, `there is no bottle "none"`) {
			t.Errorf("table: %q", table)
		}
	}
	for i, l := range strings.Split(strings.TrimSpace(watchOutput(t, "json")), "\n") {
		var got reconciler.Status
		if err := json.Unmarshal([]byte(l), &got); err != nil || got.Controller == nil || len(got.Bottles) != 2 {
			t.Errorf("line %d: %q, %v", i, l, err)
		}
	}
	documents := strings.Split(watchOutput(t, "yaml"), "---\n")
	if documents[0] != "" || len(documents) != 4 {
		t.Errorf("%q", documents)
	}
	for _, d := range documents[1:] {
		var got reconciler.Status
		if err := yaml.UnmarshalStrict([]byte(d), &got); err != nil || len(got.Bottles) != 2 {
			t.Errorf("document %q: %v", d, err)
		}
	}
}

func TestFeed(t *testing.T) {
	var out bytes.Buffer
	var warned []string
	f := &feed{out: terminal.OnWriter(&out, false, false), output: "json", warn: func(err error) { warned = append(warned, err.Error()) }}
	for range 3 {
		if err := f.show(apitest.Status(apitest.Bottle("a", "Ready", "<&>"))); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "<&>") {
		t.Errorf("the same three times: %q", got)
	}
	for _, e := range []string{"x", "x", "y"} {
		f.trouble(errors.New(e))
	}
	if err := f.show(apitest.Status()); err != nil {
		t.Fatal(err)
	}
	f.trouble(errors.New("y"))
	if got := strings.Join(warned, " "); got != "x y y" {
		t.Errorf("warnings: %s", got)
	}
}

func TestDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := terminaltest.New(60, 12)
		d := &display{screen: terminal.NewScreenOfSize(terminal.OnWriter(e, true, false), e.Size), chosen: command.Selection{Bottles: []string{"a", "none"}}}
		if err := d.show(apitest.Status(apitest.Bottle("a", "Failed", "no\nimage"), apitest.Bottle("b", "Ready", ""))); err != nil {
			t.Fatal(err)
		}
		want := "there is no bottle \"none\": bottled status lists all, --owner\n selects another owner's\nBOTTLE   COMPONENT   READY   STATE    IMAGE\na                    no      Failed\n\na: no image\n"
		if got := e.Text(); got != want {
			t.Errorf("%s", cmp.Diff(want, got))
		}
		d.trouble(fmt.Errorf("no\nengine"))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := terminal.Refresh(ctx, &d.mu, d.draw); err != nil {
			t.Error(err)
		}
		if got := e.Text(); !strings.HasPrefix(got, "not up to date: no; engine\nBOTTLE") {
			t.Errorf("after the next refresh:\n%s", got)
		}
		if err := e.Restored(); err != nil {
			t.Error(err)
		}
	})
}

func TestSelection(t *testing.T) {
	all := apitest.Status(apitest.Bottle("a", "Ready", ""), apitest.Bottle("b", "Ready", ""))
	all.Bottles[0].Labels = map[string]string{"team": "core"}
	for args, want := range map[string]string{
		"-o name":                   "a\nb\n",
		"-o name -l team=core":      "a\n",
		"-o name -l team!=core":     "b\n",
		"-o name -l team":           "a\n",
		"-o name -l !team":          "b\n",
		"-o name b -l team":         "",
		"-o name --selector team=x": "",
	} {
		var out bytes.Buffer
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Streams, o.Source = optionsFor(source{}, &out).Streams, func() (Source, error) { return source{status: all}, nil }
			return run(t.Context(), o)
		})
		if err := commandtest.Execute(t, cmd, args); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v, want %q", args, &out, err, want)
		}
	}
	for _, args := range []string{"-l (", "--all-owners a", "--all-owners -w", "--all-owners -l x", "-w -o wide", "-w -o name"} {
		cmd := New(&command.Factory{Service: &service.Service{}}, func(*Options) error { return nil })
		if err := commandtest.Execute(t, cmd, args); exit.Code(err, false) != exit.BadInput {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// Where this owner has no bottles, others may.
func TestOtherOwners(t *testing.T) {
	owned := []service.OwnedBottle{{Owner: "demo", Bottle: "x", Containers: 3, Running: 2, StateDir: "/d"}, {Owner: "demo", Bottle: "y"}, {Owner: "me", Bottle: "z"}}
	owner, log := "me", zerolog.Nop()
	var out, errs bytes.Buffer
	opts := optionsFor(source{status: reconciler.Status{}}, &out)
	opts.Errs, opts.Owner, opts.Log = terminal.OnWriter(&errs, false, false), &owner, &log
	opts.Owners = func(context.Context) ([]service.OwnedBottle, error) { return owned, nil }
	if err := run(t.Context(), opts); err != nil || out.String() != "no bottles\n" || errs.String() != "owner demo has 2 bottles: bottled status --owner demo --state-dir /d\n" {
		t.Errorf("%q %q %v", &out, &errs, err)
	}
	out.Reset()
	opts.AllOwners = true
	want := "OWNER   BOTTLE   RUNNING   STATE DIRECTORY\ndemo    x        2 of 3    /d\ndemo    y        0 of 0    \nme      z        0 of 0    \n"
	if err := run(t.Context(), opts); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, out.String()))
	}
	out.Reset()
	opts.Output = "json"
	var got struct{ Bottles []service.OwnedBottle }
	if err := errors.Join(run(t.Context(), opts), json.Unmarshal(out.Bytes(), &got)); err != nil || !slices.Equal(got.Bottles, owned) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWide(t *testing.T) {
	var out bytes.Buffer
	running := apitest.Component(state.Agent, "running", 0)
	running.Name = "claude-bottle-agent-a"
	opts := optionsFor(source{status: apitest.Status(apitest.Bottle("a", "Ready", "", running, apitest.Component(state.Pipelock, "exited", 0)))}, &out)
	opts.Output = "wide"
	opts.Usage = func(context.Context, reconciler.Status) (map[string]engine.Usage, error) {
		return map[string]engine.Usage{running.Name: {CPU: 1234 * time.Millisecond, Memory: 20 << 20, MemoryLimit: 4 << 30, Processes: 3}}, nil
	}
	want := `BOTTLE   COMPONENT   READY   STATE     CPU TIME   MEMORY         CONTAINER               IMAGE
a                    yes     Ready
         agent       yes     running   1.23s      20MiB / 4GiB   claude-bottle-agent-a   img:1
         pipelock    no      exited                                                      img:1
`
	if err := run(t.Context(), opts); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, out.String()))
	}
}

// TestVolumes shows the volumes of bottles that are named.
func TestVolumes(t *testing.T) {
	b := apitest.Bottle("a", "Ready", "")
	b.Volumes = []reconciler.VolumeStatus{
		{Name: "cache", Volume: "p-volume-cache.a", State: reconciler.VolumeUnused}, {Name: "home", Volume: "p-volume-home.a", State: reconciler.VolumeMissing, Retained: true},
	}
	const want = "\nVOLUME   STATE     RETAINED   NAME\ncache    unused    no         p-volume-cache.a\nhome     missing   yes        p-volume-home.a\n"
	for _, named := range []bool{true, false} {
		var out bytes.Buffer
		o := optionsFor(source{status: apitest.Status(b)}, &out)
		if named {
			o.Bottles = []string{"a"}
		}
		if err := run(t.Context(), o); err != nil || strings.HasSuffix(out.String(), want) != named {
			t.Errorf("named: %t, %v:\n%s", named, err, &out)
		}
	}
}
