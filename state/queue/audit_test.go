package queue

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/state/audit"
)

func openAudit(t *testing.T) (AuditLog, string) {
	t.Helper()
	l, err := audit.Open(filepath.Join(t.TempDir(), "audit"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Path()
}

func records(t *testing.T, path string) []Record {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []Record
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		all = append(all, r)
	}
	return all
}

func TestDecideIsAudited(t *testing.T) {
	q := open(t, memoryDir(t))
	log, path := openAudit(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q.now = func() time.Time { return now }
	asked := proposal("https://a.example")
	asked.Bottle = "another" // the agent's word
	p, err := q.Submit(asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Decide(log, "dev", p.ID, Answer{Status: Modified, Notes: "only\nthis", By: "alice"}, "+a.example\n"); err != nil {
		t.Fatal(err)
	}
	want := []Record{{
		Time: now, Bottle: "dev", Kind: "decision", Tool: PipelockBlock, Action: "modified", Who: "alice", Diff: "+a.example\n",
		Justification: p.Justification, Notes: "only\nthis", Proposal: p.ID,
	}}
	if diff := cmp.Diff(want, records(t, path)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	entry, err := q.Get(p.ID)
	if err != nil || entry.Answer == nil || entry.Answer.Status != Modified || entry.Answer.By != "alice" {
		t.Errorf("the answer: %+v, %v", entry, err)
	}
	if err := q.Decide(log, "dev", p.ID, Answer{Status: Rejected, By: "bob"}, ""); !errors.Is(err, ErrAnswered) {
		t.Errorf("a second decision: %v; want ErrAnswered", err)
	}
	if got := records(t, path); len(got) != 1 {
		t.Errorf("%d records after a decision that was not made", len(got))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

type fullDisk struct{}

func (fullDisk) Append(any) error { return syscall.ENOSPC }

func TestUnauditedDecisionIsNotMade(t *testing.T) {
	q := open(t, memoryDir(t))
	p := submit(t, q, "https://a.example")
	if err := q.Decide(fullDisk{}, "dev", p.ID, Answer{Status: Approved, By: "alice"}, ""); err == nil {
		t.Error("decided without a record")
	}
	if entry, err := q.Get(p.ID); err != nil || entry.Answer != nil {
		t.Errorf("%+v, %v; want a pending proposal", entry, err)
	}
}

// TestLateDecisionIsTakenBack puts an answer where the decision does not see it before it is logged.
func TestLateDecisionIsTakenBack(t *testing.T) {
	dir := memoryDir(t)
	q := open(t, dir)
	log, path := openAudit(t)
	p := submit(t, q, "https://a.example")
	var deciders sync.WaitGroup
	for _, who := range []string{"alice", "bob", "carol", "dave"} {
		other := open(t, dir)
		deciders.Go(func() {
			if err := other.Decide(log, "dev", p.ID, Answer{Status: Approved, By: who}, ""); err != nil && !errors.Is(err, ErrAnswered) {
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	deciders.Wait()
	valid := map[string]int{}
	for _, r := range records(t, path) {
		if r.Action == actionVoid {
			valid[r.Who]--
		} else {
			valid[r.Who]++
		}
	}
	entry, err := q.Get(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	for who, n := range valid {
		if want := map[bool]int{true: 1}[who == entry.Answer.By]; n != want {
			t.Errorf("%d valid decisions of %s; want %d (it was %s)", n, who, want, entry.Answer.By)
		}
	}
}

func TestDecideRefuses(t *testing.T) {
	q := open(t, memoryDir(t))
	log, path := openAudit(t)
	p := submit(t, q, "https://a.example")
	for name, a := range map[string]Answer{
		"nobody":     {Status: Approved},
		"withdrawal": {Status: Withdrawn, By: "alice"},
		"no status":  {By: "alice"},
		"long notes": {Status: Approved, By: "alice", Notes: strings.Repeat("a", MaxNotes+1)},
	} {
		if err := q.Decide(log, "dev", p.ID, a, ""); err == nil {
			t.Errorf("%s: decided", name)
		}
	}
	if err := q.Decide(log, "dev", newID(time.Now()), Answer{Status: Approved, By: "alice"}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("no such proposal: %v; want ErrGone", err)
	}
	if got := records(t, path); len(got) > 0 {
		t.Errorf("records of decisions that were not made: %+v", got)
	}
}
