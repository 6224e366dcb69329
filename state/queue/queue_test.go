package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *Queue {
	t.Helper()
	q, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func proposal(payload string) Proposal {
	return Proposal{Bottle: "dev", Tool: PipelockBlock, Justification: "the docs are there", Payload: payload}
}

func submit(t *testing.T, q *Queue, payload string) Proposal {
	t.Helper()
	p, err := q.Submit(proposal(payload))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSubmittedProposalsArePendingInOrder(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	var want []Proposal
	for i := range 5 {
		want = append(want, submit(t, q, fmt.Sprintf("https://%d.example", i)))
	}
	got, problems, err := open(t, dir).Pending()
	if err != nil || len(problems) > 0 {
		t.Fatalf("Pending: %v, problems %v", err, problems)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	for _, p := range got {
		info, err := os.Stat(filepath.Join(dir, p.ID+proposalSuffix))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v; want 0600", info.Mode())
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if len(names) > 0 {
		t.Errorf("temporary files are left: %v", names)
	}
}

func TestAnswerIsGivenOnce(t *testing.T) {
	dir := t.TempDir()
	q, other := open(t, dir), open(t, dir)
	p := submit(t, q, "https://a.example")
	want := Answer{Status: Modified, Notes: "only for reading", By: "alice", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	if err := other.Answer(p.ID, want); err != nil {
		t.Fatal(err)
	}
	if err := other.Answer(p.ID, Answer{Status: Rejected}); !errors.Is(err, ErrAnswered) {
		t.Errorf("second answer: %v; want ErrAnswered", err)
	}
	if err := q.Withdraw(p.ID, "left"); !errors.Is(err, ErrAnswered) {
		t.Errorf("withdrawal after the answer: %v; want ErrAnswered", err)
	}
	got, err := q.Wait(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if pending, _, _ := q.Pending(); len(pending) > 0 {
		t.Errorf("still pending: %v", pending)
	}
	if err := q.Remove(p.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Get(p.ID); !errors.Is(err, ErrGone) {
		t.Errorf("after Remove: %v; want ErrGone", err)
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("files are left: %v", names)
	}
}

func TestOnlyOneOfManyAnswersWins(t *testing.T) {
	dir := t.TempDir()
	p := submit(t, open(t, dir), "https://a.example")
	var wins atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		q := open(t, dir)
		group.Go(func() {
			err := q.Answer(p.ID, Answer{Status: Approved, By: fmt.Sprint(i)})
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, ErrAnswered) {
				t.Errorf("answer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d answers were accepted; want 1", wins.Load())
	}
}

func TestWithdrawnProposalCannotBeAnswered(t *testing.T) {
	q := open(t, t.TempDir())
	p := submit(t, q, "https://a.example")
	if err := q.Withdraw(p.ID, "left"); err != nil {
		t.Fatal(err)
	}
	if err := q.Answer(p.ID, Answer{Status: Approved}); !errors.Is(err, ErrAnswered) {
		t.Errorf("answer after withdrawal: %v; want ErrAnswered", err)
	}
}

func TestWait(t *testing.T) {
	for name, poll := range map[string]bool{"with a watch": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			q := open(t, dir)
			if poll { // as when the user has no inotify instance left
				q.watcher.tried = true
				q.watcher.waiters = map[chan struct{}]bool{}
			}
			p := submit(t, q, "https://a.example")
			other := submit(t, q, "https://b.example")
			answered := make(chan Answer, 1)
			go func() {
				a, err := q.Wait(t.Context(), p.ID)
				if err != nil {
					t.Errorf("Wait: %v", err)
				}
				answered <- a
			}()
			if err := open(t, dir).Answer(other.ID, Answer{Status: Rejected}); err != nil {
				t.Fatal(err)
			}
			select {
			case a := <-answered:
				t.Fatalf("Wait returned another proposal's answer: %+v", a)
			case <-time.After(100 * time.Millisecond):
			}
			start := time.Now()
			if err := open(t, dir).Answer(p.ID, Answer{Status: Approved}); err != nil {
				t.Fatal(err)
			}
			if a := <-answered; a.Status != Approved {
				t.Errorf("answer %+v; want approved", a)
			}
			if limit := slowRescan - time.Second; time.Since(start) > limit {
				t.Errorf("it took %s; want less than %s", time.Since(start), limit)
			}
		})
	}
}

func TestWaitEnds(t *testing.T) {
	q := open(t, t.TempDir())
	p := submit(t, q, "https://a.example")
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := q.Wait(ctx, p.ID); !errors.Is(err, reason) {
		t.Errorf("Wait: %v; want the context's cause", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = q.Remove(p.ID) })
	if _, err := q.Wait(t.Context(), p.ID); !errors.Is(err, ErrGone) {
		t.Errorf("Wait for a removed proposal: %v; want ErrGone", err)
	}
}

func TestSubmitRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Proposal)
		want   string
	}{
		"unknown tool":          {func(p *Proposal) { p.Tool = "rm" }, "tool"},
		"no bottle":             {func(p *Proposal) { p.Bottle = "" }, "bottle must not be empty"},
		"no justification":      {func(p *Proposal) { p.Justification = " \n" }, "justification must not be empty"},
		"long justification":    {func(p *Proposal) { p.Justification = strings.Repeat("a", MaxJustification+1) }, "at most"},
		"no payload":            {func(p *Proposal) { p.Payload = "" }, "payload must not be empty"},
		"long payload":          {func(p *Proposal) { p.Payload = strings.Repeat("a", MaxPayload+1) }, "at most"},
		"terminal escape":       {func(p *Proposal) { p.Justification = "\x1b[2Jall is well" }, "control or invisible"},
		"NUL":                   {func(p *Proposal) { p.Payload = "a\x00b" }, "control or invisible"},
		"carriage to hide":      {func(p *Proposal) { p.Payload = "FROM evil\rFROM good" }, "control or invisible"},
		"invisible":             {func(p *Proposal) { p.Payload = "https://a\u200b.example" }, "control or invisible"},
		"tag characters":        {func(p *Proposal) { p.Justification = "a\U000e0041" }, "control or invisible"},
		"line separator":        {func(p *Proposal) { p.Justification = "a\u2028b" }, "control or invisible"},
		"bidirectional":         {func(p *Proposal) { p.Payload = "https://a\u202emoc.example" }, "control or invisible"},
		"not UTF-8":             {func(p *Proposal) { p.Payload = "\xff" }, "UTF-8"},
		"variation selector":    {func(p *Proposal) { p.Justification = "a\ufe0f" }, "control or invisible"},
		"selectors as letters":  {func(p *Proposal) { p.Payload = "https://a.example/\U000e0100\U000e01ef" }, "control or invisible"},
		"Hangul filler":         {func(p *Proposal) { p.Payload = "RUN curl\u3164x\u115f" }, "control or invisible"},
		"Braille blank":         {func(p *Proposal) { p.Justification = "a" + strings.Repeat("\u2800", 200) + "b" }, "control or invisible"},
		"grapheme joiner":       {func(p *Proposal) { p.Payload = "https://a\u034f.example" }, "control or invisible"},
		"joiners":               {func(p *Proposal) { p.Payload = "https://a\u200d\u200c.example" }, "control or invisible"},
		"space of another kind": {func(p *Proposal) { p.Payload = "RUN\u00a0x" }, "control or invisible"},
		"escaped in routes": {func(p *Proposal) {
			p.Tool, p.Payload = CredProxyBlock, `{"routes":[{"path":"/a\u202e","upstream":"https://a.example"}]}`
		}, "escaped control or invisible"},
		"escaped as a key":     {func(p *Proposal) { p.Tool, p.Payload = CredProxyBlock, `{"routes\u200b":[]}` }, "escaped control or invisible"},
		"routes cut off":       {func(p *Proposal) { p.Tool, p.Payload = CredProxyBlock, `{"routes":[` }, "not valid JSON"},
		"C1 control character": {func(p *Proposal) { p.Justification = "a\u009b2J" }, "control or invisible"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := open(t, t.TempDir())
			p := proposal("https://a.example")
			test.change(&p)
			if _, err := q.Submit(p); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Submit: %v; want %q", err, test.want)
			}
			if entries, _, _ := q.List(); len(entries) > 0 {
				t.Errorf("it was queued: %v", entries)
			}
		})
	}
}

func TestPendingIsBounded(t *testing.T) {
	q := open(t, t.TempDir())
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
		q := open(t, t.TempDir())
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

// TestDiskIsBounded asks for and withdraws as much as it can, then leaves as much pending as it can.
func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	q.maxBytes = 1 << 20
	const slack = 32 << 10 // the answers of withdrawn proposals
	large := func(i int) Proposal { return proposal(fmt.Sprint(i, strings.Repeat(`"`, MaxPayload/8))) }
	for i := range 60 {
		p, err := q.Submit(large(i))
		if err != nil {
			t.Fatalf("proposal %d, all before it withdrawn: %v", i, err)
		}
		if err := q.Withdraw(p.ID, "left"); err != nil {
			t.Fatal(err)
		}
		if size := bytesIn(t, dir); size > q.maxBytes+slack {
			t.Fatalf("after %d withdrawn proposals the directory has %d bytes", i+1, size)
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
	q := open(t, t.TempDir())
	start := time.Now()
	p := submit(t, q, "https://a.example")
	if err := q.Answer(p.ID, Answer{Status: Approved}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxAnswered { // what an agent that changes its mind leaves does not push it out
		w := submit(t, q, fmt.Sprintf("https://%d.example", i))
		if err := q.Withdraw(w.ID, "left"); err != nil {
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
	q := open(t, t.TempDir())
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

// TestHostileDirectory puts into the directory what a compromised sidecar could.
func TestHostileDirectory(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret.json")
	q := open(t, dir)
	good := submit(t, q, "https://a.example")
	name := func(n int) string { return fmt.Sprintf("20260101t%015dz-%s", n, strings.Repeat("a", 26)) }
	data, err := os.ReadFile(filepath.Join(dir, good.ID+proposalSuffix))
	if err != nil {
		t.Fatal(err)
	}
	write := func(file string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, []byte(strings.ReplaceAll(string(data), good.ID, name(1))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(dir, name(1)+proposalSuffix)),
		os.Symlink("nowhere", filepath.Join(dir, name(2)+proposalSuffix)),
		syscall.Mkfifo(filepath.Join(dir, name(3)+proposalSuffix), 0o600),
		os.Mkdir(filepath.Join(dir, name(4)+proposalSuffix), 0o700),
		os.Symlink(outside, filepath.Join(dir, good.ID+answerSuffix)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(name(5)+proposalSuffix, data[:len(data)/2])
	write(name(6)+proposalSuffix, nil)
	write(name(7)+proposalSuffix, data) // another proposal's id
	write(name(8)+proposalSuffix, []byte(`{"id":"`+name(8)+`","payload":"`+strings.Repeat("a", maxFileBytes)+`"}`))
	write(name(9)+proposalSuffix, []byte(strings.Replace(strings.ReplaceAll(string(data), good.ID, name(9)), `"tool"`, `"x":1,"tool"`, 1)))
	write("notes.txt", []byte("hello"))
	write("\x1b[2J.txt", nil)
	write(tempPrefix+"half", []byte("{"))

	done := make(chan struct{})
	go func() {
		defer close(done)
		entries, problems, err := q.List()
		if err != nil {
			t.Errorf("List: %v", err)
		}
		if len(entries) > 0 {
			t.Errorf("entries %+v; want none (the good one's answer is a link)", entries)
		}
		if want := 12; len(problems) != want {
			t.Errorf("%d problems; want %d:\n%v", len(problems), want, errors.Join(problems...))
		}
		for _, problem := range problems {
			if strings.Contains(problem.Error(), "\x1b") {
				t.Errorf("a problem carries a terminal escape: %q", problem)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("List hangs (on the named pipe?)")
	}

	// An answer neither follows nor replaces the planted link.
	if err := q.Answer(good.ID, Answer{Status: Approved}); err == nil {
		t.Error("Answer wrote to a planted link")
	}
	if content, _ := os.ReadFile(outside); strings.Contains(string(content), "approved") {
		t.Error("Answer wrote through a link to a file outside of the queue")
	}
}

func TestTooManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range maxEntries + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := open(t, dir).List(); err == nil || !strings.Contains(err.Error(), "more than 4096 files") {
		t.Errorf("List: %v; want a limit", err)
	}
}

func TestBadIDs(t *testing.T) {
	q := open(t, t.TempDir())
	for _, id := range []string{"", ".", "..", "../x", "a/b", "20260101t000000000000000z-" + strings.Repeat("A", 26)} {
		if _, err := q.Get(id); !errors.Is(err, ErrGone) {
			t.Errorf("Get(%q): %v; want ErrGone", id, err)
		}
		if err := q.Answer(id, Answer{Status: Approved}); !errors.Is(err, ErrGone) {
			t.Errorf("Answer(%q): %v; want ErrGone", id, err)
		}
		if err := q.Remove(id); !errors.Is(err, ErrGone) {
			t.Errorf("Remove(%q): %v; want ErrGone", id, err)
		}
	}
}

func TestAnswerRefuses(t *testing.T) {
	q := open(t, t.TempDir())
	p := submit(t, q, "https://a.example")
	for _, a := range []Answer{{}, {Status: "yes"}, {Status: Approved, Notes: strings.Repeat("a", MaxNotes+1)}} {
		if err := q.Answer(p.ID, a); err == nil {
			t.Errorf("Answer accepted %.40v", a)
		}
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	var ids []string
	for i := range maxAnswered + 5 {
		p := submit(t, q, fmt.Sprintf("https://%d.example", i))
		if err := q.Withdraw(p.ID, "left"); err != nil {
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

func TestIDsSortByTime(t *testing.T) {
	start := time.Date(2026, 12, 31, 23, 59, 59, 999_999_990, time.UTC)
	var ids []string
	for i := range 20 {
		ids = append(ids, newID(start.Add(time.Duration(i)*time.Nanosecond)))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not sorted: %v", ids)
	}
	for _, id := range ids {
		if !idPattern.MatchString(id) {
			t.Errorf("newID made %q, which is not an identifier", id)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Open accepted a missing directory")
	}
}

func FuzzParseProposal(f *testing.F) {
	id := newID(time.Unix(0, 0))
	f.Add(`{"id":"` + id + `","bottle":"dev","tool":"pipelock-block","created":"2026-01-02T03:04:05Z","justification":"j","payload":"p"}`)
	f.Add(`{}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseProposal(id, []byte(text))
		if err != nil {
			return
		}
		if p.ID != id || p.Justification == "" || p.Payload == "" || len(p.Payload) > MaxPayload || strings.ContainsRune(p.Justification+p.Payload+p.Bottle, 0x1b) {
			t.Errorf("accepted %+v", p)
		}
	})
}
