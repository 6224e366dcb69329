package owndir

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const somebody = 54321 // a user of the host

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirectoriesOfOthersAreRefused has everything on the way to a state directory belong to somebody else, or be writable.
func TestDirectoriesOfOthersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	tests := map[string]struct {
		do   func(parent, dir string)
		want string // "" when it is fine
	}{
		"all ours":                           {func(_, _ string) {}, ""},
		"missing":                            {func(_, dir string) { must(t, os.Remove(dir)) }, ""},
		"somebody's directory":               {func(_, dir string) { must(t, os.Chown(dir, somebody, 0)) }, "chown 0 "},
		"somebody's parent":                  {func(parent, _ string) { must(t, os.Chown(parent, somebody, 0)) }, "chown 0 "},
		"somebody's parent of a missing one": {func(parent, dir string) { must(t, os.Remove(dir), os.Chown(parent, somebody, 0)) }, "chown 0 "},
		"writable by the group":              {func(_, dir string) { must(t, os.Chmod(dir, 0o770)) }, "chmod go-w "},
		"writable by all":                    {func(_, dir string) { must(t, os.Chmod(dir, 0o777)) }, "chmod go-w "},
		"a sticky directory itself":          {func(_, dir string) { must(t, os.Chmod(dir, 0o777|os.ModeSticky)) }, "chmod go-w "},
		"parent writable by the group":       {func(parent, _ string) { must(t, os.Chmod(parent, 0o775)) }, "chmod go-w "},
		"parent writable by all":             {func(parent, _ string) { must(t, os.Chmod(parent, 0o777)) }, "chmod go-w "},
		"sticky parent":                      {func(parent, _ string) { must(t, os.Chmod(parent, 0o777|os.ModeSticky)) }, ""},
		"somebody's place in a sticky parent": {func(parent, dir string) {
			must(t, os.Chmod(parent, 0o777|os.ModeSticky), os.Chown(dir, somebody, 0))
		}, "chown 0 "},
		"somebody's link in a sticky parent": {func(parent, dir string) {
			must(t, os.Chmod(parent, 0o777|os.ModeSticky), os.Remove(dir), os.Mkdir(dir+"-real", 0o700))
			must(t, os.Symlink(dir+"-real", dir), os.Lchown(dir, somebody, 0))
		}, "chown 0 "},
		"a link of root's": {func(_, dir string) { must(t, os.Rename(dir, dir+"-real"), os.Symlink(filepath.Base(dir)+"-real", dir)) }, ""},
		"a link of root's to somebody's": {func(_, dir string) {
			must(t, os.Rename(dir, dir+"-real"), os.Symlink(dir+"-real", dir), os.Chown(dir+"-real", somebody, 0))
		}, "chown 0 "},
		"a link in a circle": {func(_, dir string) { must(t, os.Remove(dir), os.Symlink(dir, dir)) }, "too many levels"},
		"a file":             {func(_, dir string) { must(t, os.Remove(dir), os.WriteFile(dir, nil, 0o600)) }, "no directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			dir := filepath.Join(parent, "state")
			must(t, os.MkdirAll(dir, 0o700))
			test.do(parent, dir)
			err := Check(dir)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v; want %q", err, test.want)
			}
			if made := Make(dir, 0o700); (made == nil) != (err == nil) {
				t.Errorf("Make: %v; Check: %v", made, err)
			}
		})
	}
}

// TestPlantedFilesAreNotOpened has what could be planted where bottled opens a lock, a record or its cache.
func TestPlantedFilesAreNotOpened(t *testing.T) {
	for name, plant := range map[string]func(path, outside string) error{
		"link": func(path, outside string) error { return os.Symlink(outside, path) },
		"link to a pipe": func(path, outside string) error {
			return firstError(syscall.Mkfifo(outside+"-pipe", 0o600), os.Symlink(outside+"-pipe", path))
		},
		"link to nowhere": func(path, outside string) error { return os.Symlink(outside+"-new", path) },
		"named pipe":      func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"directory":       func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			outside, path := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "lock")
			must(t, os.WriteFile(outside, []byte("secret"), 0o600), plant(path, outside))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_TRUNC} {
					if file, err := Open(path, flag, 0o600); err == nil {
						t.Errorf("it was opened with %#x: %v", flag, file.Close())
					}
				}
				if data, err := ReadFile(path); err == nil {
					t.Errorf("it was read: %q", data)
				}
			}()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("opening hangs")
			}
			if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
				t.Errorf("the file outside became %q, %v", data, err)
			}
			if _, err := os.Lstat(outside + "-new"); err == nil {
				t.Error("a file was made outside")
			}
		})
	}
}

// TestWriteReplacesAPlantedLink: what a link leads to is not written.
func TestWriteReplacesAPlantedLink(t *testing.T) {
	outside, path := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "cache.json")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600), os.Symlink(outside, path), WriteFile(path, []byte("ours"), 0o600, nil))
	ours, err := ReadFile(path)
	secret, err2 := os.ReadFile(outside)
	if must(t, err, err2); string(ours) != "ours" || string(secret) != "secret" {
		t.Errorf("%q, and outside %q", ours, secret)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
