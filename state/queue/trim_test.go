package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// measure counts what is in a directory without an end to its depth.
func measure(t *testing.T, dir string) (entries int, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		entries++
		bytes += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries - 1, bytes
}

// queueName is the name of a proposal, older than any real one.
func queueName(i int) string {
	return fmt.Sprintf("20260101t%015dz-%s", i, strings.Repeat("a", 26)) + proposalSuffix
}

// fill makes n files of a size.
func fill(dir string, n int, name func(int) string, size int64) error {
	for i := range n {
		path := filepath.Join(dir, name(i))
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			return err
		}
	}
	return nil
}

// takeovers are what a supervise that was taken over can write to its directory.
var takeovers = map[string]func(dir string) error{
	"proposals":        func(dir string) error { return fill(dir, 3*trimEntries, queueName, 10) },
	"large proposals":  func(dir string) error { return fill(dir, 200, queueName, maxFileBytes) },
	"sparse proposals": func(dir string) error { return fill(dir, 3, queueName, 1<<40) },
	"files in making": func(dir string) error {
		return fill(dir, 3*trimEntries, func(i int) string { return fmt.Sprint(tempPrefix, i) }, 10)
	},
	"files of any name": func(dir string) error {
		return fill(dir, 3*trimEntries, func(i int) string { return fmt.Sprint("\x1b[2J\n", i) }, 0)
	},
	"one large file": func(dir string) error { return fill(dir, 1, func(int) string { return "x" }, 1<<40) },
	"links and pipes": func(dir string) error {
		var errs []error
		for i := range trimEntries {
			path := filepath.Join(dir, fmt.Sprint(i))
			errs = append(errs, os.Symlink("/etc/passwd", path+".l"), syscall.Mkfifo(path+".p", 0o600))
		}
		return errors.Join(errs...)
	},
	"hard links": func(dir string) error {
		errs := []error{os.WriteFile(filepath.Join(dir, "x"), make([]byte, 1<<20), 0o600)}
		for i := range trimEntries {
			errs = append(errs, os.Link(filepath.Join(dir, "x"), filepath.Join(dir, fmt.Sprint(i))))
		}
		return errors.Join(errs...)
	},
	"a tree": func(dir string) error {
		for i := range 40 {
			sub := filepath.Join(dir, fmt.Sprint(i), "a", "b")
			if err := errors.Join(os.MkdirAll(sub, 0o700), fill(sub, 100, queueName, 10)); err != nil {
				return err
			}
		}
		return nil
	},
	"a tree deeper than a path": func(dir string) error {
		root, err := os.OpenRoot(dir)
		for i := 0; i < 3000 && err == nil; i++ {
			var next *os.Root
			if err = root.Mkdir("ddddd", 0o700); err == nil {
				next, err = root.OpenRoot("ddddd")
			}
			err = errors.Join(err, root.Close())
			root = next
		}
		return errors.Join(err, root.Close())
	},
	"large directories": func(dir string) error {
		sub := filepath.Join(dir, "d")
		return errors.Join(os.Mkdir(sub, 0o700), fill(sub, 100, func(i int) string { return fmt.Sprint(i) }, 1<<20))
	},
}

// TestTakenOverSuperviseCannotFillTheQueue trims the directory, and keeps proposals where it can.
func TestTakenOverSuperviseCannotFillTheQueue(t *testing.T) {
	for what, attack := range takeovers {
		t.Run(what, func(t *testing.T) {
			dir := memoryDir(t)
			q := open(t, dir)
			good := submit(t, q, "https://a.example") // its name sorts behind the attacker's
			if err := attack(dir); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, _, _ = q.List() // bounded, whatever it says
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("listing took %s", took)
			}
			removed, err := Trim(dir)
			if err != nil || removed == 0 {
				t.Fatalf("%d entries removed, %v", removed, err)
			}
			if entries, bytes := measure(t, dir); entries > trimEntries || bytes > trimBytes {
				t.Errorf("%d entries with %d bytes are left", entries, bytes)
			}
			if _, _, err := q.List(); err != nil {
				t.Errorf("listing: %v", err)
			}
			if removed, err := Trim(dir); err != nil || removed > 0 {
				t.Errorf("trimmed again: %d entries removed, %v", removed, err)
			}
			if _, err := q.Get(good.ID); err != nil && !strings.Contains(what, "proposals") && what != "files in making" {
				t.Errorf("the proposal that was there: %v", err)
			}
		})
	}
}

// TestQueueWithinBoundsIsNotTouched: a file that somebody put there stays.
func TestQueueWithinBoundsIsNotTouched(t *testing.T) {
	dir := memoryDir(t)
	q := open(t, dir)
	for i := range MaxPending {
		submit(t, q, fmt.Sprintf("https://%d.example", i))
	}
	old := filepath.Join(dir, "old")
	if err := errors.Join(os.Mkdir(old, 0o700), os.WriteFile(filepath.Join(old, "notes.txt"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	before, _ := measure(t, dir)
	if removed, err := Trim(dir); err != nil || removed > 0 {
		t.Errorf("%d entries removed, %v", removed, err)
	}
	if after, _ := measure(t, dir); after != before {
		t.Errorf("%d entries are left of %d", after, before)
	}
}
