package audit

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLogAfterACrash(t *testing.T) {
	log, err := Open(filepath.Join(t.TempDir(), "audit"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	appendTo(t, log, "alice")
	half, err := os.OpenFile(log.Path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.WriteString(`{"time":"20`); err != nil {
		t.Fatal(err)
	}
	half.Close()
	appendTo(t, log, "bob")
	if got := withoutSeals(read(t, log.Path())); got != "{\"who\":\"alice\"}\n{\"time\":\"20\n{\"who\":\"bob\"}\n" {
		t.Errorf("the log:\n%s", got)
	}
}

func TestLogIsArchivedByRenaming(t *testing.T) {
	log, err := Open(filepath.Join(t.TempDir(), "audit"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	appendTo(t, log, "alice")
	archived := log.Path() + ".1"
	if err := os.Rename(log.Path(), archived); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "bob")
	if first, second := withoutSeals(read(t, archived)), withoutSeals(read(t, log.Path())); first != "{\"who\":\"alice\"}\n" || second != "{\"who\":\"bob\"}\n" {
		t.Errorf("the archived log: %q, the new one: %q", first, second)
	}
	info, err := os.Stat(log.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// TestPlantedAtTheLogsPath tries to have the log written to, or read from, another place. A planted object is in the way before
// the log is opened, or takes its place while it is written.
func TestPlantedAtTheLogsPath(t *testing.T) {
	plants := map[string]func(t *testing.T, dir, path, target string) error{
		"symbolic link": func(_ *testing.T, _, path, target string) error { return os.Symlink(target, path) },
		"dangling link": func(_ *testing.T, _, path, target string) error { return os.Symlink(target+".new", path) },
		"hard link":     func(_ *testing.T, _, path, target string) error { return os.Link(target, path) },
		"named pipe":    func(_ *testing.T, _, path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(_ *testing.T, _, path, _ string) error { return os.Mkdir(path, 0o700) },
		"file for all":  func(t *testing.T, _, path, _ string) error { return writeFor(t, path, 0o666) },
		"directory for all": func(_ *testing.T, dir, _, _ string) error {
			return os.Chmod(dir, 0o777)
		},
		"symbolic link for the directory": func(_ *testing.T, dir, _, target string) error {
			moved := filepath.Join(filepath.Dir(target), "elsewhere")
			if err := os.Rename(dir, moved); err != nil {
				return err
			}
			return os.Symlink(moved, dir)
		},
	}
	for name, plant := range plants {
		for _, when := range []string{"before", "after"} {
			t.Run(name+" "+when, func(t *testing.T) {
				root := t.TempDir()
				dir, target := filepath.Join(root, "audit"), filepath.Join(root, "target")
				if err := os.WriteFile(target, []byte("target\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				log, err := Open(dir, "dev")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(log.Path()); err != nil {
					t.Fatal(err)
				}
				if err := plant(t, dir, log.Path(), target); err != nil {
					t.Fatal(err)
				}
				if when == "before" {
					log.Close()
					log, err = Open(dir, "dev")
				} else {
					err = log.Append(map[string]string{"who": "secret"})
				}
				if err == nil {
					t.Error("it was opened")
					log.Close()
				}
				if got := read(t, target); got != "target\n" {
					t.Errorf("the target has %q", got)
				}
			})
		}
	}
}

func TestLogOfNoBottle(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../dev", "a/b", "a\x00b"} {
		if _, err := Open(filepath.Join(t.TempDir(), "audit"), name); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
}

func appendTo(t *testing.T, log *Log, who string) {
	t.Helper()
	if err := log.Append(map[string]string{"who": who}); err != nil {
		t.Fatal(err)
	}
}

var seals = regexp.MustCompile(`,"seq":\d+(,"prev":"[\w-]{43}")?,"hash":"[\w-]{43}"`)

// withoutSeals returns a log without what the chain adds to its lines.
func withoutSeals(log string) string { return seals.ReplaceAllString(log, "") }

func writeFor(t *testing.T, path string, mode os.FileMode) error {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(data), "\x00")
}
