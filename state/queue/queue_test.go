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

// memoryDir returns an empty directory, in memory if the host has a file system there: the queue syncs, which takes long on a busy disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "queue-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
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
	dir := memoryDir(t)
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
	dir := memoryDir(t)
	q, other := open(t, dir), open(t, dir)
	p := submit(t, q, "https://a.example")
	want := Answer{Status: Modified, Notes: "only for reading", By: "alice", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	if err := other.Answer(p.ID, want); err != nil {
		t.Fatal(err)
	}
	if err := other.Answer(p.ID, Answer{Status: Rejected}); !errors.Is(err, ErrAnswered) {
		t.Errorf("second answer: %v; want ErrAnswered", err)
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
	dir := memoryDir(t)
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

// TestWithdrawnIsRead has an answer that a supervise of an earlier version wrote.
func TestWithdrawnIsRead(t *testing.T) {
	dir := memoryDir(t)
	q := open(t, dir)
	p := submit(t, q, "https://a.example")
	const old = `{"status": "withdrawn", "notes": "left", "by": "agent", "time": "2026-11-20T00:00:00Z"}`
	if err := os.WriteFile(filepath.Join(dir, p.ID+answerSuffix), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if entry, err := q.Get(p.ID); err != nil || entry.Answer == nil || entry.Answer.Status != Withdrawn {
		t.Errorf("%+v, %v; want withdrawn", entry, err)
	}
	if err := q.Answer(p.ID, Answer{Status: Approved}); !errors.Is(err, ErrAnswered) {
		t.Errorf("an answer to it: %v; want ErrAnswered", err)
	}
}

func TestWait(t *testing.T) {
	for name, poll := range map[string]bool{"with a watch": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
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
	q := open(t, memoryDir(t))
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
		"escaped as a key":       {func(p *Proposal) { p.Tool, p.Payload = CredProxyBlock, `{"routes\u200b":[]}` }, "escaped control or invisible"},
		"routes cut off":         {func(p *Proposal) { p.Tool, p.Payload = CredProxyBlock, `{"routes":[` }, "not valid JSON"},
		"secret that is no JSON": {func(p *Proposal) { p.Tool, p.Payload = SecretRequest, "github" }, "payload"},
		"secret of nothing":      {func(p *Proposal) { p.Tool, p.Payload = SecretRequest, `{"name":"github"}` }, "name or upstream is missing"},
		"secret with a value":    {func(p *Proposal) { p.Tool, p.Payload = SecretRequest, `{"name":"a","upstream":"b","value":"c"}` }, "value"},
		"secret with an escape": {func(p *Proposal) {
			p.Tool, p.Payload = SecretRequest, `{"name":"a","upstream":"https://a\u202e.example"}`
		}, "escaped control or invisible"},
		"C1 control character": {func(p *Proposal) { p.Justification = "a\u009b2J" }, "control or invisible"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := open(t, memoryDir(t))
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

func TestAnswerRefuses(t *testing.T) {
	q := open(t, memoryDir(t))
	p := submit(t, q, "https://a.example")
	for _, a := range []Answer{{}, {Status: "yes"}, {Status: Approved, Notes: strings.Repeat("a", MaxNotes+1)}} {
		if err := q.Answer(p.ID, a); err == nil {
			t.Errorf("Answer accepted %.40v", a)
		}
	}
}

func TestIDsSortByTime(t *testing.T) {
	start := time.Date(2026, 12, 31, 23, 59, 59, 999_999_990, time.UTC)
	var ids []string
	for i := range 20 {
		ids = append(ids, NewID(start.Add(time.Duration(i)*time.Nanosecond)))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not sorted: %v", ids)
	}
	for _, id := range ids {
		if !idPattern.MatchString(id) {
			t.Errorf("NewID made %q, which is not an identifier", id)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Open accepted a missing directory")
	}
}
