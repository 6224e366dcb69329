package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestKilledAtAnyMoment reads on after each line as if the process had been killed then, with what was saved at another time.
func TestKilledAtAnyMoment(t *testing.T) {
	b := newBottle(t)
	b.limits.Burst, b.limits.Rate = 3, 0 // so that gaps are among it
	lines := denials(40)
	for i := range lines {
		if i%7 == 3 {
			b.limits.Burst++ // a new process begins with a full budget
		}
		trail, err := OpenTrail(b.dir, "dev", b.limits)
		if err != nil {
			t.Fatal(err)
		}
		b.mustTake(trail, lines[:i+1])
		if i%5 == 2 {
			if err := trail.Save(); err != nil {
				t.Fatal(err)
			}
		}
		trail.log.Close() // without saving anything
	}
	trail := b.open()
	b.mustTake(trail, lines)
	if err := trail.FlushGap(container, true); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if all := uint64(len(b.hosts(got))) + gaps(got).Dropped[KindEgress]; all != 40 || gaps(got).Lost != 0 {
		t.Errorf("%d recorded or counted; want 40: %+v", all, gaps(got))
	}
}

// TestArchived while it is written, and while nobody does: nothing is lost, and nothing recorded again.
func TestArchived(t *testing.T) {
	b := newBottle(t)
	lines := denials(30)
	path := filepath.Join(b.dir, "dev.jsonl")
	archive := func(n int) {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, n)); err != nil {
			t.Fatal(err)
		}
	}
	trail := b.open()
	b.mustTake(trail, lines[:5])
	archive(1)
	b.mustTake(trail, lines[:10])
	trail.log.Close() // killed
	trail = b.open()
	b.mustTake(trail, lines[:20])
	trail.Close()
	archive(2)
	b.mustTake(b.open(), lines)
	got := b.records(path+".1", path+".2", path)
	if len(got) != 30 || len(b.hosts(got)) != 30 {
		t.Errorf("%d records in all", len(got))
	}
}

// TestDiskFull reports the error, and continues when there is room, with all missed records.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	b := newBottle(t)
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(b.dir, 0); err != nil {
			t.Error(err)
		}
	})
	trail := b.open()
	t.Cleanup(func() { trail.Close() })
	ballast := filepath.Join(b.dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := denials(200)
	err := b.take(trail, lines)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v; want ENOSPC", err)
	}
	if err := b.take(trail, lines); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("again: %v; want ENOSPC", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// Meanwhile, the engine's log lost some.
	lost := append(output{}, lines...)
	for i := 100; i < 110; i++ {
		lost[i] = "not about a decision"
	}
	for i, line := range lost {
		if IsStatement([]byte(line)) {
			if err := trail.Add(container, "pipelock", at(i), []byte(line)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := b.records()
	if hosts := b.hosts(got); len(hosts) != 190 || gaps(got).Lost != 10 {
		t.Errorf("%d records, %+v", len(hosts), gaps(got))
	}
}
