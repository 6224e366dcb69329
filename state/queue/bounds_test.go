package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPendingIsBounded(t *testing.T) {
	q := open(t, memoryDir(t))
	var first Proposal
	for i := range MaxPending {
		p := submit(t, q, fmt.Sprintf("https://%d.example", i))
		if i == 0 {
			first = p
		}
	}
	if _, err := q.Submit(proposal("https://more.example")); !errors.Is(err, ErrFull) {
		t.Fatalf("proposal %d: %v; want ErrFull", MaxPending+1, err)
	}
	if err := q.Answer(first.ID, Answer{Status: Rejected}); err != nil {
		t.Fatal(err)
	}
	submit(t, q, "https://more.example")
}

// TestLargestProposalIsReadBack has the texts that grow most when they are written.
func TestLargestProposalIsReadBack(t *testing.T) {
	for _, char := range []string{"&", "<", `"`, "\\", "\n", "é", "\U0001f600"} {
		q := open(t, memoryDir(t))
		p := proposal("x" + strings.Repeat(char, (MaxPayload-1)/len(char)))
		p.Justification = "x" + strings.Repeat(char, (MaxJustification-1)/len(char))
		p, err := q.Submit(p)
		if err != nil {
			t.Fatalf("%q: %v", char, err)
		}
		entry, err := q.Get(p.ID)
		if err != nil || entry.Proposal.Payload != p.Payload || entry.Proposal.Justification != p.Justification {
			t.Errorf("%q: what was submitted can't be read: %v", char, err)
		}
	}
}

// bytesIn returns the size of all files.
func bytesIn(t *testing.T, dir string) (sum int64) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := name.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// TestDiskIsBounded is answered as much as it can ask, then leaves as much pending as it can.
func TestDiskIsBounded(t *testing.T) {
	dir := memoryDir(t)
	q := open(t, dir)
	q.maxBytes = 256 << 10
	const slack = 32 << 10 // the answers
	large := func(i int) Proposal { return proposal(fmt.Sprint(i, strings.Repeat(`"`, MaxPayload/32))) }
	for i := range 60 {
		p, err := q.Submit(large(i))
		if err != nil {
			t.Fatalf("proposal %d, all before it answered: %v", i, err)
		}
		if err := q.Answer(p.ID, Answer{Status: Rejected}); err != nil {
			t.Fatal(err)
		}
		if size := bytesIn(t, dir); size > q.maxBytes+slack {
			t.Fatalf("after %d answered proposals the directory has %d bytes", i+1, size)
		}
	}
	var err error
	pending := 0
	for ; err == nil; pending++ {
		_, err = q.Submit(large(pending))
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "bytes in the queue") {
		t.Errorf("after %d proposals: %v; want ErrFull for the bytes", pending, err)
	}
	if size := bytesIn(t, dir); size > q.maxBytes+slack || pending < 10 {
		t.Errorf("%d pending proposals in %d bytes", pending, size)
	}
}

func TestUnfetchedAnswersAreKeptForAWhile(t *testing.T) {
	q := open(t, memoryDir(t))
	start := time.Now()
	p := submit(t, q, "https://a.example")
	if err := q.Answer(p.ID, Answer{Status: Approved}); err != nil {
		t.Fatal(err)
	}
	for i := range maxAnswered - 1 {
		w := submit(t, q, fmt.Sprintf("https://%d.example", i))
		if err := q.Answer(w.ID, Answer{Status: Rejected}); err != nil {
			t.Fatal(err)
		}
	}
	q.now = func() time.Time { return start.Add(AnswerAge - time.Minute) }
	submit(t, q, "https://b.example")
	entry, err := q.Get(p.ID)
	if err != nil || entry.Stale(q.now()) {
		t.Errorf("just before its time: %+v, %v", entry, err)
	}
	q.now = func() time.Time { return start.Add(AnswerAge + time.Minute) }
	if !entry.Stale(q.now()) {
		t.Error("it does not get stale")
	}
	submit(t, q, "https://c.example")
	if _, err := q.Get(p.ID); !errors.Is(err, ErrGone) {
		t.Errorf("after its time: %v; want ErrGone", err)
	}
	if pending, _, _ := q.Pending(); len(pending) != 2 {
		t.Errorf("%d are pending; want 2: what waits for a human does not get stale", len(pending))
	}
}

func TestConcurrentSubmissionsStayWithinBounds(t *testing.T) {
	q := open(t, memoryDir(t))
	var accepted atomic.Int32
	var group sync.WaitGroup
	for i := range 2 * MaxPending {
		group.Go(func() {
			if _, err := q.Submit(proposal(fmt.Sprintf("https://%d.example", i))); err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, ErrFull) {
				t.Errorf("Submit: %v", err)
			}
		})
	}
	group.Wait()
	if accepted.Load() != MaxPending {
		t.Errorf("%d were accepted; want %d", accepted.Load(), MaxPending)
	}
}

func TestSweep(t *testing.T) {
	dir := memoryDir(t)
	q := open(t, dir)
	var ids []string
	for i := range maxAnswered + 5 {
		p := submit(t, q, fmt.Sprintf("https://%d.example", i))
		if err := q.Answer(p.ID, Answer{Status: Rejected}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	orphan, fresh, temp := ids[0]+answerSuffix, ids[1]+answerSuffix, tempPrefix+"old"
	for _, id := range ids[:2] {
		if err := q.Remove(id); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{orphan, fresh, temp} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * tempAge)
	for _, name := range []string{orphan, temp} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, q, "https://last.example")
	entries, _, err := q.List()
	if err != nil {
		t.Fatal(err)
	}
	if want := maxAnswered + 1; len(entries) != want {
		t.Errorf("%d entries; want %d", len(entries), want)
	}
	for name, want := range map[string]bool{orphan: false, temp: false, fresh: true} {
		_, err := os.Stat(filepath.Join(dir, name))
		if got := err == nil; got != want {
			t.Errorf("%s is there: %v; want %v", name, got, want)
		}
	}
}
