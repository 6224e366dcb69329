package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/printable"
)

func text(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		mark := "  "
		if l.Bad {
			mark = "! "
		}
		b.WriteString(strings.TrimRight(mark+printable.Line(l.Text), " ") + "\n")
	}
	return b.String()
}

func TestReport(t *testing.T) {
	crashing := apitest.WithConditions(apitest.Bottle("dev", "NotReady", "agent: it ended with exit code 1",
		apitest.Component(state.Pipelock, "running", 0), apitest.Component(state.Agent, "exited", 7)), 3*time.Minute, "", "agent ended 7 times in 3m; the next start is in 40s")
	waiting := apitest.WithConditions(apitest.Bottle("web", "Ready", "", apitest.Component(state.Pipelock, "running", 0)), 50*time.Hour, "waits for its turn", "")
	waiting.Generation, waiting.ObservedGeneration = 2, 1
	troubled := apitest.Controller()
	troubled.Revision, troubled.SourceError = "main@sha1:1f0c", "fetch: timed\nout"
	troubled.Engine = reconciler.EngineStatus{Since: apitest.Now.Add(-90 * time.Second), Error: "connection refused"}
	troubled.Problems = []string{"a.yaml:3: unknown field \x1b[31mspce", "b.yaml:1: no kind"}
	troubled.Held, troubled.HeldReason = []string{"old", "older"}, "all manifests are gone"
	both := []reconciler.BottleStatus{crashing, waiting}

	checkGolden(t, []reportCase{
		{"no controller", everything, reconciler.Status{Bottles: []reconciler.BottleStatus{
			apitest.Bottle("alpha", "Ready", "", apitest.Component(state.Pipelock, "running", 0)),
			apitest.Bottle("dev", "NotReady", "agent: it ended with exit code 0", apitest.Component(state.Pipelock, "running", 0), apitest.Component(state.Agent, "exited", 0)),
			apitest.Bottle("off", "Suspended", "", apitest.Component(state.Pipelock, "exited", 0)),
		}}},
		{"no bottles", everything, reconciler.Status{}},
		{"controller, all well", everything, reconciler.Status{Controller: apitest.Controller(), Bottles: []reconciler.BottleStatus{
			apitest.WithConditions(apitest.Bottle("alpha", "Ready", "", apitest.Component(state.Pipelock, "running", 0)), 12*time.Second, "", ""),
		}}},
		{"crash loop and a waiting declaration", everything, reconciler.Status{Controller: apitest.Controller(), Bottles: both}},
		{"a message that two conditions have", everything, reconciler.Status{Bottles: []reconciler.BottleStatus{
			apitest.WithConditions(apitest.Bottle("dev", "Failed", "no such image"), time.Hour, "", "no such image"),
		}}},
		{"troubles", everything, reconciler.Status{Controller: troubled}},
		{"starting", everything, reconciler.Status{Controller: &reconciler.ControllerStatus{}}},
		{"without the components of healthy bottles", componentsOfUnready, reconciler.Status{Bottles: both}},
		{"what is not well", unreadyOnly, reconciler.Status{Bottles: both}},
		{"without components", unreadyBottles, reconciler.Status{Bottles: both}},
		{"warnings are left to others", everything, reconciler.Status{Warnings: []string{"a door"}}},
	})
}

type reportCase struct {
	name   string
	detail detail
	status reconciler.Status
}

// checkGolden compares the reports with testdata/report.golden.
func checkGolden(t *testing.T, cases []reportCase) {
	t.Helper()
	var all strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&all, "# %s\n%s\n", c.name, text(report(c.status, view{now: apitest.Now, detail: c.detail})))
	}
	golden.Check(t, "testdata/report.golden", all.String())
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", 59 * time.Minute: "59m",
		time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := Age(apitest.Now.Add(-d), apitest.Now); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	if got := Age(time.Time{}, apitest.Now); got != "" {
		t.Errorf("not known: %q", got)
	}
}

// TestFit: whatever there is to tell, it fits, and what is not as it should be is told first.
func TestFit(t *testing.T) {
	var status reconciler.Status
	for i := range 20 {
		status.Bottles = append(status.Bottles, apitest.Bottle(fmt.Sprintf("good-%d", i), "Ready", "", apitest.Component(state.Pipelock, "running", 0), apitest.Component(state.Agent, "running", 0)))
	}
	status.Bottles = append(status.Bottles, apitest.Bottle("bad", "Failed", strings.Repeat("why ", 50), apitest.Component(state.Agent, "exited", 0)))
	for height := 1; height < 80; height++ {
		for _, width := range []int{20, 80, 300} {
			lines := Fit(status, []Line{{Text: "engine gone"}}, apitest.Now, height, width)
			if len(lines) > height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			got := text(lines)
			for least, want := range map[int]string{10: "! bad", 30: "why why", 28: "good-19", 70: "running"} {
				if width == 80 && height >= least && !strings.Contains(got, want) {
					t.Errorf("%dx%d lacks %q:\n%s", width, height, want, got)
				}
			}
		}
	}
	got := text(Fit(status, nil, apitest.Now, 3, 80))
	if want := "  20 of 21 bottles as they should be\n  BOTTLE   COMPONENT   READY   STATE    IMAGE\n  … 5 more lines\n"; got != want {
		t.Errorf("three lines:\n%s", cmp.Diff(want, got))
	}
}

func TestWrapped(t *testing.T) {
	got := wrapped([]Line{{Text: "äbcdefg", Wrap: true, Bad: true}, {Text: "äbcdefg"}, {Text: "abc", Wrap: true}, {Wrap: true}}, 3)
	want := []Line{{Text: "äbc", Bad: true}, {Text: "def", Bad: true}, {Text: "g", Wrap: true, Bad: true}, {Text: "äbcdefg"}, {Text: "abc", Wrap: true}, {Wrap: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
