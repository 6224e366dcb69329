package safepath

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMountable: valid sources of a mount, given other agents' mounts.
func TestMountable(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  string
		covered []string // of the place
		prepare func(w world)
		ok      bool
	}{
		{name: "the place itself, which agents share", source: "place", ok: true},
		{name: "a directory in the place", source: "place/sub"},
		{name: "a directory deep in the place", source: "place/sub/deep"},
		{name: "a file in the place", source: "place/file"},
		{name: "a directory in the place that its agent sees a mount on", source: "place/sub", covered: []string{"sub"}, ok: true},
		{name: "a directory below one that its agent sees a mount on", source: "place/sub/deep", covered: []string{"sub"}},
		{name: "another name than the one that is covered", source: "place/sub", covered: []string{"su"}},
		{name: "a link in the place under a covered name", source: "place/sub", covered: []string{"sub"}, prepare: func(w world) {
			must(w.t, os.RemoveAll(w.at("place/sub")))
			w.link("../secret", "place/sub")
		}},
		{name: "a link to the place", source: "l", prepare: func(w world) { w.link("place", "l") }, ok: true},
		{name: "a link through the place", source: "l/sub", prepare: func(w world) { w.link("place", "l") }},
		{name: "a directory around the place", source: ".", ok: true},
		{name: "something else", source: "a/b", ok: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			p, err := NewPlace(w.place)
			must(t, err)
			p.Covered = c.covered
			o, err := Open(w.at(c.source))
			must(t, err)
			defer o.Close()
			if by, ok := NewSet(p).Mountable(o.Trace); ok != c.ok {
				t.Errorf("mountable: %v, by %+v", ok, by)
			}
		})
	}
}

// TestFormerPlaces: where an agent could write, no link is followed and no manifest is read, until the directory is another one.
func TestFormerPlaces(t *testing.T) {
	w := newWorld(t)
	w.link(w.secret, "place/link")
	former := Recall(w.set().Places())
	for path, usable := range map[string]bool{"place/file": true, "place/link": false, "a/b/c/d/file": true} {
		o, err := Open(w.at(path))
		must(t, err)
		defer o.Close()
		if _, ok := former.Usable(o.Trace); ok != usable {
			t.Errorf("%s: usable %v", path, ok)
		}
		if _, writable := former.Writable(o.Trace); writable != strings.HasPrefix(path, "place/") {
			t.Errorf("%s: writable %v", path, writable)
		}
	}
	if _, err := former.Open(w.at("place/link")); err == nil || !strings.Contains(err.Error(), "could write it") {
		t.Error(err)
	}
	must(t, os.Rename(w.place, w.at("old")))
	w.mkdir("place")
	if left := former.Refresh().Places(); len(left) != 0 {
		t.Errorf("the directory was replaced, and still counts: %+v", left)
	}
}

// TestSwappedInALoop: whatever an agent swaps while a path is opened, nothing in its place or reached through it is returned.
func TestSwappedInALoop(t *testing.T) {
	w := newWorld(t)
	w.file("place/data/file", "agent")
	set := w.set()
	link := w.link("../a/b/c/d", "a/link") // the operator's, which leads to a good file, to the place, or through it
	end := time.Now().Add(2 * time.Second)
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; time.Now().Before(end); i++ {
			target := []string{"../a/b/c/d", "../place/data", "../place/out"}[i%3]
			_ = os.Remove(w.at("place/out"))
			_ = os.Symlink("../secret", w.at("place/out"))
			_ = os.Symlink(target, w.at("a/new"))
			_ = os.Rename(w.at("a/new"), link)
		}
	}()
	opened, refused := 0, 0
	for time.Now().Before(end) {
		data, err := set.ReadFile(filepath.Join(link, "file"), 100)
		refusal := new(Error)
		switch {
		case errors.As(err, &refusal):
			refused++
		case err == nil && string(data) == "good":
			opened++
		case err == nil:
			t.Fatalf("%q was read", data)
		}
	}
	<-swapped
	if opened == 0 || refused == 0 {
		t.Errorf("%d opened, %d refused: not everything was met", opened, refused)
	}
}

// FuzzOpen: whatever the path, what is returned lies where its trace says, and never in the place.
func FuzzOpen(f *testing.F) {
	for _, path := range []string{"place/file", "a/l/../place/./file", "l1/l2/l3", "../..//x/place", "a/b/c/d/file/", "up/up/up", "proc/self/root"} {
		f.Add(path, "../place", "/proc/self/root", "a/b")
	}
	w := newWorld(f)
	w.mkdir("l")
	f.Fuzz(func(t *testing.T, path, first, second, third string) {
		w.t = t
		for name, target := range map[string]string{"l1": first, "l/l2": second, "place/l3": third, "up": ".."} {
			_ = os.Remove(w.at(name))
			_ = os.Symlink(target, w.at(name)) // not every target can be one
		}
		o, err := w.set().Open(w.dir + "/" + path)
		if err != nil {
			return
		}
		defer o.Close()
		real, err := filepath.EvalSymlinks(o.Real)
		if err != nil || real != o.Real {
			t.Errorf("%q is not without links: %q, %v", o.Real, real, err)
		}
		info, err := os.Lstat(o.Real)
		if err == nil && !os.SameFile(info, o.Info) {
			t.Errorf("%q is another file than the one opened", o.Real)
		}
		if o.Real == w.place || strings.HasPrefix(o.Real, w.place+"/") {
			t.Errorf("%q was opened in the place as %q", path, o.Real)
		}
	})
}
