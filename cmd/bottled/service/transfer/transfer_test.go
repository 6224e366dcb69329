package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

type entry struct {
	kind byte
	name string
	text string // content, or where a link leads
	mode int64
}

func archiveOf(t *testing.T, entries ...entry) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Mode: e.mode}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.text))
		} else {
			h.Linkname = e.text
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := io.WriteString(w, e.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// tree is what is below a directory: files with their content, links with an arrow.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			found[name+"/"] = ""
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			found[name] = "-> " + to
			return err
		default:
			text, err := os.ReadFile(path)
			found[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func extract(t *testing.T, dir string, archive io.Reader) ([]Skipped, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return Extract(archive, root, "out", 100)
}

// TestHostileArchives has archives of an agent that lead out of the directory, or would leave behind what leads somewhere later.
func TestHostileArchives(t *testing.T) {
	const file, dir, symlink, hard = tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink
	for name, c := range map[string]struct {
		entries []entry
		want    map[string]string
		skips   int
		says    string // in the error
	}{
		"a file":             {entries: []entry{{file, "a", "x", 0o644}}, want: map[string]string{"out": "x"}},
		"a tree":             {entries: []entry{{dir, "a/", "", 0o755}, {file, "a/b", "x", 0o644}}, want: map[string]string{"out/": "", "out/b": "x"}},
		"dots":               {entries: []entry{{file, "a/../../../etc/x", "x", 0o644}, {file, "../x", "x", 0o644}, {dir, "..", "", 0o755}}, skips: 3},
		"an absolute name":   {entries: []entry{{file, "/etc/x", "x", 0o644}}, skips: 1},
		"a symbolic link":    {entries: []entry{{symlink, "a", "/etc/passwd", 0}}, skips: 1},
		"through a link":     {entries: []entry{{dir, "a/", "", 0o755}, {symlink, "a/l", "/tmp", 0}, {file, "a/l/x", "x", 0o644}}, want: map[string]string{"out/": ""}, skips: 1, says: "no such file"},
		"a device":           {entries: []entry{{tar.TypeBlock, "a", "", 0o666}, {tar.TypeChar, "b", "", 0o666}, {tar.TypeFifo, "c", "", 0o666}}, skips: 3},
		"a hard link":        {entries: []entry{{dir, "a/", "", 0o755}, {file, "a/b", "x", 0o644}, {hard, "a/c", "a/b", 0}}, want: map[string]string{"out/": "", "out/b": "x", "out/c": "x"}},
		"a hard link out":    {entries: []entry{{hard, "a", "/etc/passwd", 0}, {hard, "b", "../x", 0}, {hard, "c", "nothing", 0}, {hard, "d/e", "d/planted", 0}}, skips: 4},
		"too much":           {entries: []entry{{file, "a", strings.Repeat("x", 101), 0o644}}, want: map[string]string{"out": strings.Repeat("x", 101)}, says: "--max-size"},
		"too much in parts":  {entries: []entry{{dir, "a", "", 0o755}, {file, "a/b", strings.Repeat("x", 60), 0o644}, {hard, "a/c", "a/b", 0}}, says: "--max-size"},
		"a file as a parent": {entries: []entry{{file, "a", "x", 0o644}, {file, "a/b", "x", 0o644}}, want: map[string]string{"out": "x"}, says: "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			in := filepath.Join(outer, "in")
			if err := errors.Join(os.Mkdir(in, 0o700), os.WriteFile(filepath.Join(outer, "planted"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			skipped, err := extract(t, in, archiveOf(t, c.entries...))
			if len(skipped) != c.skips || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("skipped %+v, %v; want %d, %q", skipped, err, c.skips, c.says)
			}
			if got := tree(t, in); c.want != nil && !maps.Equal(got, c.want) {
				t.Errorf("written: %v, want %v", got, c.want)
			}
			if got := tree(t, outer); len(got) != 2+len(tree(t, in)) {
				t.Errorf("outside: %v", got)
			}
		})
	}
}

// What is in the way is not written through, and special bits are dropped.
func TestExtractOverOthers(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "out")
	file := archiveOf(t, entry{tar.TypeReg, "a", "x", 0o6777})
	for name, plant := range map[string]func() error{
		"a link out": func() error { return os.Symlink(outside, at) },
		"a link inside": func() error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "other"), nil, 0o600), os.Symlink("other", at))
		},
		"a pipe":         func() error { return syscall.Mkfifo(at, 0o600) },
		"a directory":    func() error { return os.Mkdir(at, 0o700) },
		"a device's end": func() error { return os.Symlink("/dev/null", at) },
	} {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if skipped, err := extract(t, dir, archiveOf(t, entry{tar.TypeReg, "a", "x", 0o644})); err == nil {
			t.Errorf("%s: %v", name, skipped)
		}
		if strings.HasPrefix(name, "a link") {
			if _, err := extract(t, dir, archiveOf(t, entry{tar.TypeDir, "a", "", 0o755}, entry{tar.TypeReg, "a/b", "x", 0o644})); err == nil {
				t.Errorf("%s, taken for a directory", name)
			}
		}
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "other")); err != nil || len(text) > 0 {
		t.Errorf("a link's end was written: %q, %v", text, err)
	}
	if _, err := extract(t, dir, file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(at); err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|0o002) != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "mine" {
		t.Errorf("outside: %q, %v", text, err)
	}
}

func TestTooManyEntries(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		archive := tar.NewWriter(w)
		var err error
		for err == nil {
			err = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"})
		}
	}()
	skipped, err := extract(t, t.TempDir(), r)
	if err == nil || !strings.Contains(err.Error(), "more than 100000") || len(skipped) > maxSkipped+1 {
		t.Errorf("%d skipped, %v", len(skipped), err)
	}
	_ = r.Close()
}

func TestBrokenArchive(t *testing.T) {
	whole, err := io.ReadAll(archiveOf(t, entry{tar.TypeReg, "a", strings.Repeat("x", 90), 0o644}))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{100, 520, 600} {
		if _, err := extract(t, t.TempDir(), bytes.NewReader(whole[:part])); err == nil {
			t.Errorf("%d of %d bytes are taken for the whole", part, len(whole))
		}
	}
}

// What is packed here arrives there, but for what is no file.
func TestPack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(from, "a", "b"), 0o755), os.WriteFile(filepath.Join(from, "a", "b", "c"), []byte("text"), 0o755),
		os.Symlink("/etc/passwd", filepath.Join(from, "a", "link")), syscall.Mkfifo(filepath.Join(from, "a", "pipe"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var archive bytes.Buffer
	skipped, err := Pack(&archive, root, "a")
	if err != nil || len(skipped) != 1 || skipped[0].Path != "a/pipe" {
		t.Fatalf("%+v, %v", skipped, err)
	}
	if bytes.Contains(archive.Bytes(), []byte("root:")) {
		t.Error("a link was followed")
	}
	if skipped, err = extract(t, to, &archive); err != nil || len(skipped) != 1 || skipped[0].Path != "a/link" {
		t.Errorf("%+v, %v", skipped, err)
	}
	if got, want := tree(t, to), map[string]string{"out/": "", "out/b/": "", "out/b/c": "text"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if info, err := os.Stat(filepath.Join(to, "out", "b", "c")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("not executable any more: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("a"), "a/../b", byte(tar.TypeReg), "../x")
	f.Add([]byte(""), "a/b", byte(tar.TypeSymlink), "/etc")
	f.Fuzz(func(t *testing.T, content []byte, name string, kind byte, target string) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, n := range []string{name, name + "/x", "a/" + target} {
			h := &tar.Header{Typeflag: kind, Name: n, Linkname: target, Mode: 0o777}
			if kind == tar.TypeReg {
				h.Size = int64(len(content))
			}
			if w.WriteHeader(h) != nil {
				return
			}
			if kind == tar.TypeReg {
				if _, err := w.Write(content); err != nil {
					t.Fatal(err)
				}
			}
		}
		outer := t.TempDir()
		in := filepath.Join(outer, "in")
		if err := os.Mkdir(in, 0o700); err != nil {
			t.Fatal(err)
		}
		_, _ = extract(t, in, &b)
		all := tree(t, outer)
		for path, text := range all {
			if path != "in/" && path != "in/out" && !strings.HasPrefix(path, "in/out/") || strings.HasPrefix(text, "-> ") && kind != tar.TypeReg {
				t.Fatalf("%q was written: %v", path, all)
			}
		}
	})
}
