package describe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// description has something in every section, with a text in what an agent or an engine may have written.
func description(text string) service.Description {
	now := time.Now()
	b := apitest.Bottle("dev", "NotReady", "agent: it ended", apitest.Component(state.Pipelock, "running", 0), apitest.Component(state.Agent, "exited", 3))
	b.Generation, b.ObservedGeneration, b.RetryAt = 3, 2, now.Add(40*time.Second)
	b.Conditions = []reconciler.Condition{{Type: "Ready", Status: "False", Reason: "NotReady", Message: "agent: it ended" + text, LastTransitionTime: now.Add(-time.Minute)}}
	b.Volumes = []reconciler.VolumeStatus{{Name: "cache", Volume: "p-volume-cache.dev", State: reconciler.VolumeInUse, Retained: true}}
	return service.Description{
		Status: b, Manifest: "/m/dev.yaml" + text,
		Spec: v1alpha1.Spec{
			Supervise: true,
			Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow("a.test", "*.b.test"), PrivateCIDRs: []string{"10.1.0.0/16"}},
			CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Path: "/api/", Upstream: "https://api.test", Methods: []string{"GET", "POST"}}, {Path: "/x/", Upstream: "https://x.test"}}},
			Services:  []v1alpha1.Service{{Name: "db", Image: "postgres:17", Volumes: []v1alpha1.Volume{{Name: "data", Target: "/data"}}}},
			Agent: &v1alpha1.Agent{
				Image: "agent:1", Command: []string{"sh", "-c", "x" + text}, Mounts: []v1alpha1.Mount{{Source: "/src", Target: "/work", ReadOnly: true}},
				Volumes: []v1alpha1.Volume{{Name: "cache", Target: "/cache"}},
			},
		},
		Networks: []service.DescribedNetwork{
			{Name: "p-net-dev", Subnet: netip.MustParsePrefix("10.213.0.0/28"), Internal: true}, {Name: "p-egress-dev", Subnet: netip.MustParsePrefix("10.213.0.16/28")},
		},
		Limits:  []service.DescribedLimits{{Component: state.Pipelock, Memory: 256 << 20, NanoCPUs: 15e8, Pids: 256}, {Component: state.Agent}},
		Waiting: []reconciler.Proposal{{ID: "t-abcdefghij", Asked: now.Add(-time.Hour), Tool: queue.PipelockBlock, Summary: "allow c.test:443" + text, Justification: "I need\nit" + text}},
		Denied: []service.Observed{
			{Entry: "c.test", Reason: "domain not in allowlist: c.test", Count: 12, Last: now.Add(-time.Minute)}, {Reason: "secret" + text, Count: 1, Last: now.Add(-time.Hour)},
		},
		Events: []reconciler.Event{
			{Time: now.Add(-2 * time.Minute), Component: state.Pipelock, Reason: "StepDone", Message: "reload: its files changed", Count: 1},
			{Time: now.Add(-time.Minute), Component: state.Agent, Type: reconciler.EventWarning, Reason: "Crashed", Message: "exit code 1" + text, Count: 3, First: now.Add(-3 * time.Minute), RetryAt: now.Add(40 * time.Second)},
		},
		Warnings: []string{"2 more proposals wait" + text},
	}
}

// describe runs the command, whose bottle has a description.
func describe(t *testing.T, args string, d service.Description, failure error) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
		o.Out = terminal.OnWriter(&out, false, false)
		o.Describe = func(_ context.Context, bottle string) (service.Description, error) {
			if bottle != "dev" {
				t.Errorf("asked for %q", bottle)
			}
			return d, failure
		}
		return run(t.Context(), o)
	}), args)
	return out.String(), err
}

func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole, err := describe(t, "dev", description(""), nil)
		if err != nil {
			t.Error(err)
		}
		bare, err := describe(t, "dev", service.Description{Status: apitest.Bottle("dev", "Failed", "no image")}, nil)
		if err != nil {
			t.Error(err)
		}
		golden.Check(t, "testdata/describe.golden", whole+"# a bottle that never ran\n"+bare)
		text, err := describe(t, "dev -o json", description("\x1b[2J"), nil)
		var got service.Description
		if err := errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(description("\x1b[2J"), got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
			t.Errorf("-o json (-want +got):\n%s", diff)
		}
		if text, err := describe(t, "dev", service.Description{}, errors.New("gone")); err == nil || text != "" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestHostileDescription(t *testing.T) {
	for _, text := range terminaltest.HostileTexts {
		for _, output := range []string{"table", "json", "yaml"} {
			out, err := describe(t, "dev -o "+output, description(text), nil)
			if err != nil {
				t.Error(err)
			}
			terminaltest.AssertReadable(t, output, out)
		}
	}
}
