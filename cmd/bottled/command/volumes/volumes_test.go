package volumes

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

// three are volumes in each of their states.
func three() []service.Volume {
	made := time.Now().Add(-3 * time.Hour)
	return []service.Volume{
		{Name: "p-volume-a.dev", Bottle: "dev", Volume: "a", State: reconciler.VolumeInUse, UsedBy: []string{"p-agent-dev"}, Created: made},
		{Name: "p-volume-b.dev", Bottle: "dev", Volume: "b", State: reconciler.VolumeUnused, Created: made},
		{Name: "p-volume-c.old", Bottle: "old", Volume: "c", State: reconciler.VolumeOrphan, Created: made},
	}
}

func TestVolumes(t *testing.T) {
	gone := errors.New("gone")
	for args, c := range map[string]struct {
		all  []service.Volume
		err  error
		out  string
		says string
	}{
		"": {all: three(), out: `BOTTLE   VOLUME   STATE    AGE   NAME
dev      a        in use   3h    p-volume-a.dev
dev      b        unused   3h    p-volume-b.dev
old      c        orphan   3h    p-volume-c.old
`},
		"--output=table": {out: "no volumes\n"},
		"-o name":        {all: three(), out: "p-volume-a.dev\np-volume-b.dev\np-volume-c.old\n"},
		"-o json":        {out: "{\n  \"volumes\": []\n}\n"},
		"-o yaml":        {out: "volumes: []\n"},
		"-o wide":        {says: "use table, json, yaml or name"},
		"remove x":       {says: `unknown command "remove"`},
		"-o=name":        {err: gone, says: "gone"},
	} {
		var out bytes.Buffer
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
			o.Out, o.List = terminal.OnWriter(&out, false, false), func(context.Context) ([]service.Volume, error) { return c.all, c.err }
			return run(t.Context(), o)
		})
		err := commandtest.Execute(t, cmd, args)
		if out.String() != c.out || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q prints %q, %v; want %q, %q", args, &out, err, c.out, c.says)
		}
	}
}

func TestRemove(t *testing.T) {
	refused := errors.New("refused")
	for args, c := range map[string]struct {
		answer   error
		fails    error
		question string
		removed  string
		out      string
		says     string
	}{
		"p-volume-b.dev": {
			question: "Remove 1 volume with all data: p-volume-b.dev?", removed: "p-volume-b.dev", out: "volume p-volume-b.dev removed\n",
		},
		"p-volume-b.dev p-volume-c.old --yes": {removed: "p-volume-b.dev p-volume-c.old", out: "volume p-volume-b.dev removed\nvolume p-volume-c.old removed\n"},
		"--orphans":                           {question: "Remove 1 volume with all data: p-volume-c.old?", removed: "p-volume-c.old", out: "volume p-volume-c.old removed\n"},
		"p-volume-c.old":                      {answer: refused, question: "Remove 1 volume with all data: p-volume-c.old?", says: "refused"},
		"p-volume-c.old -y":                   {fails: errors.New("busy"), removed: "p-volume-c.old", says: "busy"},
		"p-volume-a.dev --yes":                {says: "volume p-volume-a.dev is in use by p-agent-dev"},
		"p-volume-a.dev p-volume-c.old -y":    {says: "volume p-volume-a.dev is in use by p-agent-dev"}, // all or nothing
		"somebody-elses -y":                   {says: `this owner has no volume "somebody-elses"`},
		"":                                    {says: "name volumes, or give --orphans: one of the two"},
		"--orphans p-volume-c.old":            {says: "name volumes, or give --orphans: one of the two"},
	} {
		var out bytes.Buffer
		question, removed := "", []string{}
		cmd := NewRemove(&command.Factory{Service: &service.Service{}}, func(o *RemoveOptions) error {
			o.Out, o.List = terminal.OnWriter(&out, false, false), func(context.Context) ([]service.Volume, error) { return three(), nil }
			o.Remove = func(_ context.Context, v service.Volume) error {
				removed = append(removed, v.Name)
				return c.fails
			}
			if !strings.Contains(args, "-y") {
				o.Confirm = func(q string) error { question = q; return c.answer }
			}
			return remove(t.Context(), o)
		})
		err := commandtest.Execute(t, cmd, args)
		if question != c.question || strings.Join(removed, " ") != c.removed || out.String() != c.out {
			t.Errorf("%q asks %q, removes %q, prints %q; want %q, %q, %q", args, question, removed, &out, c.question, c.removed, c.out)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", args, err, c.says)
		}
	}
}

func TestNoOrphans(t *testing.T) {
	var out bytes.Buffer
	opts := &RemoveOptions{Orphans: true, List: func(context.Context) ([]service.Volume, error) { return three()[:2], nil }}
	opts.Out = terminal.OnWriter(&out, false, false)
	if err := remove(t.Context(), opts); err != nil || out.String() != "no orphans\n" {
		t.Errorf("%q, %v", &out, err)
	}
}
