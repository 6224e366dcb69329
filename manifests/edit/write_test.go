package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

const (
	oldText = "spec: {}\n"
	newText = "spec: {supervise: true}\n"
)

// manifestIn writes a manifest into a new directory.
func manifestIn(t *testing.T) string {
	t.Helper()
	return writeOld(t, filepath.Join(t.TempDir(), "dev.yaml"))
}

func writeOld(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(oldText), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkFile checks a file's content, and that nothing else is in its directory but for what is expected.
func checkFile(t *testing.T, path, want string, others ...string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s has %q (%v), want %q", path, got, err, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(strings.Join(append(others, filepath.Base(path)), " "), e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestWriteKeepsMode(t *testing.T) {
	path := manifestIn(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, newText)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if data, err := Read(path, safepath.Set{}); err != nil || string(data) != newText {
		t.Errorf("%q, %v", data, err)
	}
}

func TestWriteComparesFirst(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"another content": func(path string) error { return os.WriteFile(path, []byte("spec:  {}\n"), 0o600) },
		"longer":          func(path string) error { return os.WriteFile(path, []byte(oldText+"\n"), 0o600) },
		"gone":            os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			path := manifestIn(t)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); !errors.Is(err, ErrChanged) {
				t.Errorf("%v, want %v", err, ErrChanged)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("it has %q, had %q", after, before)
			}
		})
	}
}

// TestWriteLosesNothing has several editors change one file at the same time.
func TestWriteLosesNothing(t *testing.T) {
	const editors, edits = 4, 25
	path := manifestIn(t)
	var all sync.WaitGroup
	for editor := range editors {
		all.Go(func() {
			for n := range edits {
				appendLine(t, path, fmt.Sprintf("# %d.%d\n", editor, n))
			}
		})
	}
	all.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for editor := range editors {
		for n := range edits {
			if line := fmt.Sprintf("# %d.%d\n", editor, n); strings.Count(string(got), line) != 1 {
				t.Errorf("%q is there %d times", line, strings.Count(string(got), line))
			}
		}
	}
	checkFile(t, path, string(got))
}

func appendLine(t *testing.T, path, line string) {
	for {
		before, err := Read(path, safepath.Set{})
		if err != nil {
			t.Error(err)
			return
		}
		err = Write(path, before, append(bytes.Clone(before), line...), safepath.Set{})
		if err == nil {
			return
		}
		if !errors.Is(err, ErrChanged) {
			t.Error(err)
			return
		}
	}
}

// TestWriteYieldsToReplacement has another program replace the file between the comparison and the exchange.
func TestWriteYieldsToReplacement(t *testing.T) {
	const theirs = "spec: {suspend: true}\n"
	for name, replace := range map[string]func(dir string) error{
		"a file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "new"), []byte(theirs), 0o600)
		},
		"a link to the same content": func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "other"), []byte(oldText), 0o600), os.Symlink("other", filepath.Join(dir, "new")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := manifestIn(t)
			dir := filepath.Dir(path)
			w, err := openTarget(path, safepath.Set{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			if err := errors.Join(replace(dir), os.Rename(filepath.Join(dir, "new"), path)); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.replace([]byte(oldText), []byte(newText)); !errors.Is(err, ErrChanged) {
				t.Errorf("%v, want %v", err, ErrChanged)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is another file: %v", err)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, path, string(content), "other")
		})
	}
}

func TestWriteFollowsPeoplesLinks(t *testing.T) {
	dir := t.TempDir()
	stow := filepath.Join(dir, "stow")
	if err := os.Mkdir(stow, 0o750); err != nil {
		t.Fatal(err)
	}
	real, link := writeOld(t, filepath.Join(stow, "dev.yaml")), filepath.Join(dir, "dev.yaml")
	if err := os.Symlink("stow/dev.yaml", link); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte(oldText), []byte(newText), safepath.Set{}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, real, newText)
	if target, err := os.Readlink(link); err != nil || target != "stow/dev.yaml" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestWriteRefusesAgentsPlaces(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"work", "safe"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	inside, safe := writeOld(t, filepath.Join(dir, "work/in.yaml")), writeOld(t, filepath.Join(dir, "safe/dev.yaml"))
	link, through := filepath.Join(dir, "work/link.yaml"), filepath.Join(dir, "through.yaml")
	for link, to := range map[string]string{link: safe, through: link} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	place, err := safepath.NewPlace(filepath.Join(dir, "work"))
	if err != nil {
		t.Fatal(err)
	}
	place.Bottle, place.Field, place.Where = "dev", "spec.agent.mounts[0]", "dev.yaml:1"
	former := place
	former.Former = true
	for _, agents := range []safepath.Set{safepath.NewSet(place), safepath.NewSet(former)} {
		for _, path := range []string{inside, link, through} {
			err := Write(path, []byte(oldText), []byte(newText), agents)
			var writable *safepath.Error
			if !errors.As(err, &writable) {
				t.Errorf("write %s: %v", path, err)
			}
			if _, err := Read(path, agents); !errors.As(err, &writable) {
				t.Errorf("read %s: %v", path, err)
			}
		}
		checkFile(t, safe, oldText)
		checkFile(t, inside, oldText, "link.yaml")
	}
	if err := Write(safe, []byte(oldText), []byte(newText), safepath.NewSet(place)); err != nil {
		t.Error(err)
	}
}

func TestWriteRefusesWhatItCantReplace(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "..2026"), 0o750); err != nil {
		t.Fatal(err)
	}
	linked, published := writeOld(t, filepath.Join(dir, "linked.yaml")), writeOld(t, filepath.Join(dir, "..2026/dev.yaml"))
	for _, err := range []error{
		os.Link(linked, filepath.Join(dir, "other.yaml")),
		os.Symlink("..2026", filepath.Join(dir, "..data")),
		os.Symlink("..data/dev.yaml", filepath.Join(dir, "dev.yaml")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{linked, filepath.Join(dir, "dev.yaml"), dir} {
		if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); !errors.Is(err, ErrNotReplaceable) {
			t.Errorf("%s: %v", path, err)
		}
	}
	checkFile(t, linked, oldText, "other.yaml", "dev.yaml", "..data", "..2026")
	checkFile(t, published, oldText)
}

func TestWriteRemovesAbandonedFiles(t *testing.T) {
	path := manifestIn(t)
	dir := filepath.Dir(path)
	old, fresh := writeOld(t, filepath.Join(dir, temporary+"OLD")), writeOld(t, filepath.Join(dir, temporary+"FRESH"))
	past := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, newText, filepath.Base(fresh))
}

func TestWriteWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may write everywhere: only the message is tested")
		if err := explain("dev.yaml", &fs.PathError{Op: "openat", Path: "x", Err: fs.ErrPermission}); !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
		return
	}
	path := manifestIn(t)
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }()
	if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	checkFile(t, path, oldText)
}
