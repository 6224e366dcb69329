package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// testNow is when the reports of these tests are made.
var testNow = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func part(role state.ComponentName, partState string, restarts int) reconciler.ComponentStatus {
	return reconciler.ComponentStatus{Component: role, State: partState, Ready: partState == "running", Image: "img:1", Restarts: restarts}
}

// bottle is one as StatusOf makes it.
func bottle(slug, reason, message string, parts ...reconciler.ComponentStatus) reconciler.BottleStatus {
	return reconciler.BottleStatus{Slug: slug, Ready: reason == reconciler.ReasonReady, Reason: reason, Message: message, Components: parts}
}

// conditions are what a controller tells besides; ready is how long ago that changed.
func conditions(b reconciler.BottleStatus, ready time.Duration, reconciling, stalled string) reconciler.BottleStatus {
	at := testNow.Add(-ready)
	status := func(message string) string { return map[bool]string{true: "True", false: "False"}[message != ""] }
	readyStatus := map[bool]string{true: "True", false: "False"}[b.Ready]
	b.Conditions = []reconciler.Condition{
		{Type: reconciler.ConditionReady, Status: readyStatus, Reason: b.Reason, Message: b.Message, LastTransitionTime: at},
		{Type: reconciler.ConditionReconciling, Status: status(reconciling), Reason: "r", Message: reconciling, LastTransitionTime: at},
		{Type: reconciler.ConditionStalled, Status: status(stalled), Reason: "s", Message: stalled, LastTransitionTime: at},
	}
	return b
}

func controller() *reconciler.ControllerStatus {
	return &reconciler.ControllerStatus{Syncs: 1, Owner: "default", Engine: reconciler.EngineStatus{Reachable: true, Since: testNow.Add(-time.Hour)}}
}

func text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		mark := "  "
		if l.bad {
			mark = "! "
		}
		b.WriteString(strings.TrimRight(mark+console{}.print(l), " ") + "\n")
	}
	return b.String()
}

func TestReport(t *testing.T) {
	crashing := conditions(bottle("dev", "NotReady", "agent: it ended with exit code 1",
		part(state.Pipelock, "running", 0), part(state.Agent, "exited", 7)), 3*time.Minute, "", "agent ended 7 times in 3m; the next start is in 40s")
	waiting := conditions(bottle("web", "Ready", "", part(state.Pipelock, "running", 0)), 50*time.Hour, "waits for its turn", "")
	waiting.Generation, waiting.ObservedGeneration = 2, 1
	troubled := controller()
	troubled.Revision, troubled.SourceError = "main@sha1:1f0c", "fetch: timed\nout"
	troubled.Engine = reconciler.EngineStatus{Since: testNow.Add(-90 * time.Second), Error: "connection refused"}
	troubled.Problems = []string{"a.yaml:3: unknown field \x1b[31mspce", "b.yaml:1: no kind"}
	troubled.Held, troubled.HeldReason = []string{"old", "older"}, "all manifests are gone"
	starting := &reconciler.ControllerStatus{}

	for name, test := range map[string]struct {
		live   reconciler.Status
		detail detail
		want   string
	}{
		"no controller": {live: reconciler.Status{Bottles: []reconciler.BottleStatus{
			bottle("alpha", "Ready", "", part(state.Pipelock, "running", 0)),
			bottle("dev", "NotReady", "agent: it ended with exit code 0", part(state.Pipelock, "running", 0), part(state.Agent, "exited", 0)),
			bottle("off", "Suspended", "", part(state.Pipelock, "exited", 0)),
		}}, want: `
  BOTTLE   PART       READY   STATE       IMAGE
  alpha               yes     Ready
           pipelock   yes     running     img:1
! dev                 no      NotReady
           pipelock   yes     running     img:1
!          agent      no      exited      img:1
  off                 no      Suspended
           pipelock   no      exited      img:1

! dev: agent: it ended with exit code 0
`},
		"no bottles": {want: "\n  no bottles\n"},
		"controller, all well": {live: reconciler.Status{Controller: controller(), Bottles: []reconciler.BottleStatus{
			conditions(bottle("alpha", "Ready", "", part(state.Pipelock, "running", 0)), 12*time.Second, "", ""),
		}}, want: `
  BOTTLE   PART       READY   STATE     SINCE     IMAGE
  alpha               yes     Ready     12s ago
           pipelock   yes     running             img:1
`},
		"crash loop and a waiting declaration": {live: reconciler.Status{Controller: controller(), Bottles: []reconciler.BottleStatus{crashing, waiting}}, want: `
  BOTTLE   PART       READY   STATE                                          RESTARTS   SINCE    IMAGE
! dev                 no      NotReady, stalled                                         3m ago
           pipelock   yes     running                                                            img:1
!          agent      no      exited                                         7                   img:1
  web                 yes     Ready, reconciling (newer declaration waits)              2d ago
           pipelock   yes     running                                                            img:1

! dev: agent: it ended with exit code 1

! dev: stalled: agent ended 7 times in 3m; the next start is in 40s

  web: reconciling: waits for its turn
`},
		"a message that two conditions have": {
			live: reconciler.Status{Bottles: []reconciler.BottleStatus{conditions(bottle("dev", "Failed", "no such image"), time.Hour, "", "no such image")}},
			want: `
  BOTTLE   PART   READY   STATE             SINCE    IMAGE
! dev             no      Failed, stalled   1h ago

! dev: no such image
`,
		},
		"troubles": {live: reconciler.Status{Controller: troubled}, want: `
  revision main@sha1:1f0c
! engine unreachable for 1m: connection refused
! source: fetch: timed out
! manifests: a.yaml:3: unknown field \x1b[31mspce
! manifests: b.yaml:1: no kind
  kept, though not declared: old, older (all manifests are gone)

  no bottles
`},
		"starting": {live: reconciler.Status{Controller: starting}, want: `
  the controller has started, and its first sync is not done yet
! engine unreachable

  no bottles
`},
		"without the parts of what is well": {live: reconciler.Status{Bottles: []reconciler.BottleStatus{crashing, waiting}}, detail: partsOfUnready, want: `
  BOTTLE   PART       READY   STATE                                          RESTARTS   SINCE    IMAGE
! dev                 no      NotReady, stalled                                         3m ago
           pipelock   yes     running                                                            img:1
!          agent      no      exited                                         7                   img:1
  web                 yes     Ready, reconciling (newer declaration waits)              2d ago

! dev: agent: it ended with exit code 1
! dev: stalled: agent ended 7 times in 3m; the next start is in 40s
  web: reconciling: waits for its turn
`},
		"what is not well": {live: reconciler.Status{Bottles: []reconciler.BottleStatus{crashing, waiting}}, detail: unreadyOnly, want: `
  1 of 2 bottles as they should be
  BOTTLE   PART       READY   STATE               RESTARTS   SINCE    IMAGE
! dev                 no      NotReady, stalled              3m ago
           pipelock   yes     running                                 img:1
!          agent      no      exited              7                   img:1

! dev: agent: it ended with exit code 1
! dev: stalled: agent ended 7 times in 3m; the next start is in 40s
`},
		"without parts": {live: reconciler.Status{Bottles: []reconciler.BottleStatus{crashing, waiting}}, detail: unreadyBottles, want: `
  1 of 2 bottles as they should be
  BOTTLE   PART   READY   STATE               RESTARTS   SINCE    IMAGE
! dev             no      NotReady, stalled   7          3m ago

! dev: agent: it ended with exit code 1
! dev: stalled: agent ended 7 times in 3m; the next start is in 40s
`},
		"gaps": {live: reconciler.Status{Warnings: []string{"a door", "a win\ndow"}}, want: `
  no bottles

  warning: a door
  warning: a win\ndow
`},
		"gaps where there is no room": {
			live: reconciler.Status{Bottles: []reconciler.BottleStatus{waiting}, Warnings: []string{"a door"}}, detail: unreadyBottles,
			want: "\n  1 of 1 bottle as they should be\n",
		},
		"nothing but what is well": {
			live: reconciler.Status{Bottles: []reconciler.BottleStatus{waiting}}, detail: unreadyBottles,
			want: "\n  1 of 1 bottle as they should be\n",
		},
	} {
		if diff := cmp.Diff(test.want, "\n"+text(report(test.live, testNow, test.detail))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", 59 * time.Minute: "59m",
		time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := age(testNow.Add(-d), testNow); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	if got := age(time.Time{}, testNow); got != "" {
		t.Errorf("not known: %q", got)
	}
}

// TestFit: whatever there is to tell, it fits, and what is not as it should be is told first.
func TestFit(t *testing.T) {
	var live reconciler.Status
	for i := range 20 {
		live.Bottles = append(live.Bottles, bottle(fmt.Sprintf("good-%d", i), "Ready", "", part(state.Pipelock, "running", 0), part(state.Agent, "running", 0)))
	}
	live.Bottles = append(live.Bottles, bottle("bad", "Failed", strings.Repeat("why ", 50), part(state.Agent, "exited", 0)))
	for height := 1; height < 80; height++ {
		for _, width := range []int{20, 80, 300} {
			lines := fit(live, []line{{text: "engine gone"}}, testNow, height, width)
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
	got := text(fit(live, nil, testNow, 3, 80))
	if want := "  20 of 21 bottles as they should be\n  BOTTLE   PART   READY   STATE    IMAGE\n  … 5 more lines\n"; got != want {
		t.Errorf("three lines:\n%s", cmp.Diff(want, got))
	}
}

func TestWrapped(t *testing.T) {
	got := wrapped([]line{{text: "äbcdefg", wrap: true, bad: true}, {text: "äbcdefg"}, {text: "abc", wrap: true}, {wrap: true}}, 3)
	want := []line{{text: "äbc", bad: true}, {text: "def", bad: true}, {text: "g", wrap: true, bad: true}, {text: "äbcdefg"}, {text: "abc", wrap: true}, {wrap: true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Error(diff)
	}
}
