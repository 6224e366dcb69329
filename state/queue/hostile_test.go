package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostileDirectory puts into the directory what a compromised sidecar could.
func TestHostileDirectory(t *testing.T) {
	dir, outside := memoryDir(t), filepath.Join(t.TempDir(), "secret.json")
	q := open(t, dir)
	good := submit(t, q, "https://a.example")
	plant(t, dir, outside, good.ID)

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

// plant puts into the directory, in which good is a proposal, twelve entries that are none, and an answer that is a link.
func plant(t *testing.T, dir, outside, good string) {
	t.Helper()
	name := func(n int) string { return fmt.Sprintf("20260101t%015dz-%s", n, strings.Repeat("a", 26)) }
	data, err := os.ReadFile(filepath.Join(dir, good+proposalSuffix))
	if err != nil {
		t.Fatal(err)
	}
	write := func(file string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, []byte(strings.ReplaceAll(string(data), good, name(1))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(dir, name(1)+proposalSuffix)),
		os.Symlink("nowhere", filepath.Join(dir, name(2)+proposalSuffix)),
		syscall.Mkfifo(filepath.Join(dir, name(3)+proposalSuffix), 0o600),
		os.Mkdir(filepath.Join(dir, name(4)+proposalSuffix), 0o700),
		os.Symlink(outside, filepath.Join(dir, good+answerSuffix)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(name(5)+proposalSuffix, data[:len(data)/2])
	write(name(6)+proposalSuffix, nil)
	write(name(7)+proposalSuffix, data) // another proposal's id
	write(name(8)+proposalSuffix, []byte(`{"id":"`+name(8)+`","payload":"`+strings.Repeat("a", maxFileBytes)+`"}`))
	write(name(9)+proposalSuffix, []byte(strings.Replace(strings.ReplaceAll(string(data), good, name(9)), `"tool"`, `"x":1,"tool"`, 1)))
	write("notes.txt", []byte("hello"))
	write("\x1b[2J.txt", nil)
	write(tempPrefix+"half", []byte("{"))
}

func TestTooManyFiles(t *testing.T) {
	dir := memoryDir(t)
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
	q := open(t, memoryDir(t))
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

func FuzzParseProposal(f *testing.F) {
	id := NewID(time.Unix(0, 0))
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
