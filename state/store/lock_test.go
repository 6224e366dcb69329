package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPlantedLockIsNotFollowed has another file, or nothing to lock, where the lock should be.
func TestPlantedLockIsNotFollowed(t *testing.T) {
	for name, plant := range map[string]func(lock, outside string) error{
		"a link":       func(lock, outside string) error { return os.Symlink(outside, lock) },
		"a named pipe": func(lock, _ string) error { return syscall.Mkfifo(lock, 0o600) },
	} {
		dir, outside := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "passwd")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(outside, nil, 0o600), plant(filepath.Join(dir, "lock"), outside)); err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(dir, "me"); err == nil {
			t.Errorf("%s was locked", name)
		}
		if data, err := os.ReadFile(outside); err != nil || len(data) > 0 {
			t.Errorf("%s: the file outside became %q, %v", name, data, err)
		}
	}
}

func TestLockBelongsToOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	release, err := Lock(dir, "me")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir, "me"); err == nil || !strings.Contains(err.Error(), "is at work") {
		t.Errorf("a second one: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir, "you"); err == nil || !strings.Contains(err.Error(), `belongs to owner "me"`) {
		t.Errorf("another owner: %v", err)
	}
}
