package buildcontext

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lay writes files below a directory: "->TARGET" is a symbolic link, a name that ends with a slash a directory.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(path, 0o755))
		case strings.HasPrefix(content, "->"):
			must(t, os.Symlink(content[2:], path))
		default:
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) *Context {
	t.Helper()
	c, err := new(Reader).Read(Source{Dir: dir, Dockerfile: "Dockerfile", Network: "none"}, dir)
	must(t, err)
	return c
}

// unpack lists what an engine gets: one line an entry, as ls -l.
func unpack(t *testing.T, c *Context) []string {
	t.Helper()
	var archive bytes.Buffer
	must(t, c.Tar(&archive))
	var lines []string
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s tells of the host: %+v", h.Name, h)
		}
		line := fmt.Sprintf("%c%04o %s", h.Typeflag, h.Mode, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(content) > 0 {
			line += " = " + string(content)
		}
		lines = append(lines, line)
	}
}

func TestTar(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{
		"Dockerfile": "FROM scratch", "z": "last", "a/b/c": "deep", "a/empty/": "", "in": "->a/b/c", "out": "->/etc/passwd",
		"up": "->../../secret", "dirlink": "->a", ".hidden": "h", "weird \"name\"\n": "w", "nowhere": "->gone",
	})
	must(t, os.Chmod(filepath.Join(dir, "z"), 0o750|fs.ModeSetuid))
	must(t, os.Chmod(filepath.Join(dir, "a/empty"), 0o700))
	want := []string{
		"00644 .hidden = h", "00644 Dockerfile = FROM scratch", "50755 a/", "50755 a/b/", "00644 a/b/c = deep", "50700 a/empty/",
		"20777 dirlink -> a", "20777 in -> a/b/c", "20777 nowhere -> gone", "20777 out -> /etc/passwd", "20777 up -> ../../secret",
		"00644 weird \"name\"\n = w", "04750 z = last",
	}
	if diff := cmp.Diff(want, unpack(t, read(t, dir))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestIgnore(t *testing.T) {
	files := map[string]string{
		"Dockerfile": "FROM scratch", "keep": "", "secret.pem": "", "node_modules/x/y": "", "docs/a.md": "", "docs/sub/b.md": "", "logs/1": "", "logs/keep": "",
		"deep/er/wanted.txt": "", "deep/er/other": "",
	}
	cases := []struct {
		name, ignore string
		extra        map[string]string
		want         string // the files that count, without the directories
	}{
		{"none", "", nil, "Dockerfile deep/er/other deep/er/wanted.txt docs/a.md docs/sub/b.md keep logs/1 logs/keep node_modules/x/y secret.pem"},
		{
			"names and comments", "# what nobody needs\nnode_modules\n/docs/\n*.pem\n", nil,
			".dockerignore Dockerfile deep/er/other deep/er/wanted.txt keep logs/1 logs/keep",
		},
		{"the last pattern counts", "logs\n!logs/keep\ndocs\nnode_modules\ndeep", nil, ".dockerignore Dockerfile keep logs/keep secret.pem"},
		{"everything, with exceptions", "*\n!keep\n!deep/er/wanted.txt", nil, ".dockerignore Dockerfile deep/er/wanted.txt keep"},
		{"exceptions by pattern", "**\n!**/*.md", nil, ".dockerignore Dockerfile docs/a.md docs/sub/b.md"},
		{"the engine needs the Dockerfile", "Dockerfile\n.dockerignore\n*", nil, ".dockerignore Dockerfile"},
		{
			"a Dockerfile's own", "*",
			map[string]string{"Dockerfile.dockerignore": "deep\ndocs\nlogs\nnode_modules\n.dockerignore"},
			"Dockerfile Dockerfile.dockerignore keep secret.pem",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, files)
			lay(t, dir, c.extra)
			if c.ignore != "" {
				lay(t, dir, map[string]string{".dockerignore": c.ignore})
			}
			var got []string
			for _, e := range read(t, dir).entries {
				if !e.mode.IsDir() {
					got = append(got, e.path)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDigest changes one thing at a time: what an engine would build otherwise has another digest, what it would not has none.
func TestDigest(t *testing.T) {
	lain := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		lay(t, dir, map[string]string{"Dockerfile": "FROM scratch", "a": "1", "sub/b": "2", "link": "->a", "ignored/x": "1", ".dockerignore": "ignored"})
		return dir
	}
	same := read(t, lain(t)).Digest // in another directory, of another inode, at another time
	cases := []struct {
		name    string
		changes bool
		change  func(t *testing.T, dir string) error
	}{
		{"nothing", false, func(*testing.T, string) error { return nil }},
		{"times", false, func(_ *testing.T, dir string) error { return os.Chtimes(dir+"/a", time.Unix(1, 0), time.Unix(1, 0)) }},
		{"an ignored file", false, func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/ignored/x", []byte("2"), 0o600) }},
		{"content of the same size", true, func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/a", []byte("2"), 0o600) }},
		{"mode", true, func(_ *testing.T, dir string) error { return os.Chmod(dir+"/a", 0o755) }},
		{"a directory's mode", true, func(_ *testing.T, dir string) error { return os.Chmod(dir+"/sub", 0o700) }},
		{"name", true, func(_ *testing.T, dir string) error { return os.Rename(dir+"/a", dir+"/c") }},
		{"place", true, func(_ *testing.T, dir string) error { return os.Rename(dir+"/a", dir+"/sub/a") }},
		{"one file less", true, func(_ *testing.T, dir string) error { return os.Remove(dir + "/sub/b") }},
		{"an empty directory more", true, func(_ *testing.T, dir string) error { return os.Mkdir(dir+"/d", 0o755) }},
		{"a link's target", true, func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/link"), os.Symlink("sub/b", dir+"/link"))
		}},
		{"a link in the place of its target", true, func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/link"), os.Link(dir+"/a", dir+"/link"))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := lain(t)
			must(t, c.change(t, dir))
			if got := read(t, dir).Digest; (got != same) != c.changes {
				t.Errorf("digest %s, before %s", got, same)
			}
		})
	}
	dir := lain(t)
	for _, s := range []Source{{dir, "Dockerfile", "default"}, {dir, "sub/b", "none"}} {
		c, err := new(Reader).Read(s, dir)
		must(t, err)
		if c.Digest == same {
			t.Errorf("%+v has the same digest", s)
		}
	}
}

func TestRefused(t *testing.T) {
	cases := []struct {
		name string
		lay  func(t *testing.T, dir string)
		want string
	}{
		{"no directory", func(t *testing.T, dir string) { t.Helper(); must(t, os.Remove(dir)) }, "no such file or directory"},
		{"no Dockerfile", func(*testing.T, string) {}, "there is no Dockerfile in it"},
		{"a link for a Dockerfile", func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, map[string]string{"Dockerfile": "->/etc/hostname"})
		}, "Dockerfile in it is not a regular file"},
		{"a directory for a Dockerfile", func(t *testing.T, dir string) { t.Helper(); lay(t, dir, map[string]string{"Dockerfile/": ""}) }, "not a regular file"},
		{"a Dockerfile without end", func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, map[string]string{"Dockerfile": strings.Repeat("#", maxDockerfile+1)})
		}, "larger than 1024 KiB"},
		{"a fifo", func(t *testing.T, dir string) { t.Helper(); must(t, syscall.Mkfifo(dir+"/fifo", 0o600)) }, "fifo is no file, directory or symbolic link"},
		{"a fifo for a list of what to ignore", func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, map[string]string{"Dockerfile": ""})
			must(t, syscall.Mkfifo(dir+"/.dockerignore", 0o600))
		}, ".dockerignore: it is not a regular file"},
		{"a list of what to ignore without end", func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, map[string]string{"Dockerfile": "", ".dockerignore": ""})
			must(t, os.Truncate(dir+"/.dockerignore", 1<<40))
		}, ".dockerignore: it is larger than 1024 KiB"},
		{"too large", func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, map[string]string{"big": ""})
			must(t, os.Truncate(dir+"/big", maxBytes+1)) // a hole
		}, "more than 512 MiB"},
		{"too many", func(t *testing.T, dir string) {
			t.Helper()
			for i := range maxEntries + 1 {
				must(t, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600))
			}
		}, "more than 20000 files and directories"},
		{"a broken pattern", func(t *testing.T, dir string) { t.Helper(); lay(t, dir, map[string]string{".dockerignore": "[a"}) }, ".dockerignore: syntax error in pattern"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.lay(t, dir)
			s := Source{Dir: dir, Dockerfile: "Dockerfile"}
			_, err := new(Reader).Read(s, dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "build context "+dir+": ") {
				t.Errorf("%v\nwant: %s", err, c.want)
			}
			if diff := cmp.Diff([]string{dir}, Directories(s)); c.name != "a directory for a Dockerfile" && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReaderReadsWhatChanged counts by the kernel's access of the files: one that did not change is opened once.
func TestReaderReadsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"Dockerfile": "FROM scratch", "a": "1", "sub/b": "2"})
	s := Source{Dir: dir, Dockerfile: "Dockerfile"}
	var r Reader
	first, err := r.Read(s, dir)
	must(t, err)
	m := r.memory(place{dir, "Dockerfile"})
	for name, k := range m.known {
		if k.settled {
			t.Errorf("%s is believed though it changed a moment ago", name)
		}
		k.settled, k.sum = true, [32]byte{1} // as long as this stands, the file was not read again
		m.known[name] = k
	}
	m.known["Dockerfile"] = known{}
	m.last = nil
	second, err := r.Read(s, dir)
	must(t, err)
	if second.Digest == first.Digest || m.known["a"].sum != [32]byte{1} {
		t.Error("files that did not change were read again")
	}
	lay(t, dir, map[string]string{"a": "3"})
	if _, err = r.Read(s, dir); err != nil || m.known["a"].sum == [32]byte{1} || m.known["sub/b"].sum != [32]byte{1} {
		t.Errorf("not exactly what changed was read: %v", err)
	}
}

func TestReaderReturnsTheSame(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"Dockerfile": "FROM scratch", "a": "1"})
	s := Source{Dir: dir, Dockerfile: "Dockerfile"}
	var r Reader
	first, err := r.Read(s, dir)
	must(t, err)
	must(t, os.Chtimes(dir+"/a", time.Time{}, time.Now()))
	if second, err := r.Read(s, dir); err != nil || second != first {
		t.Errorf("another one, though it has the same content: %v", err)
	}
	lay(t, dir, map[string]string{"a": "2"})
	third, err := r.Read(s, dir)
	if err != nil || third == first || third.Digest == first.Digest {
		t.Errorf("the same one, though a file changed: %v", err)
	}
}

// TestTarOfWhatChanged: what is not any more as it was hashed never becomes a complete archive.
func TestTarOfWhatChanged(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"content":   func(dir string) error { return os.WriteFile(dir+"/a", []byte("2"), 0o600) },
		"shorter":   func(dir string) error { return os.WriteFile(dir+"/a", nil, 0o600) },
		"removed":   func(dir string) error { return os.Remove(dir + "/a") },
		"a fifo":    func(dir string) error { return errors.Join(os.Remove(dir+"/a"), syscall.Mkfifo(dir+"/a", 0o600)) },
		"all of it": os.RemoveAll,
		"led out":   func(dir string) error { return errors.Join(os.Remove(dir+"/a"), os.Symlink(dir+"-secret", dir+"/a")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "context")
			lay(t, dir, map[string]string{"Dockerfile": "FROM scratch", "a": "1", "../context-secret": "1"})
			c := read(t, dir)
			must(t, change(dir))
			var out bytes.Buffer
			err := c.Tar(&out)
			if err == nil {
				t.Fatal("an archive of something else")
			}
			if name != "led out" && !errors.Is(err, ErrChanged) {
				t.Errorf("not ErrChanged: %v", err)
			}
			if bytes.HasSuffix(out.Bytes(), make([]byte, 1024)) {
				t.Error("the archive has an end, so an engine would take it")
			}
		})
	}
}

// TestWithDockerfile: the digest is that of the context once it has the file.
func TestWithDockerfile(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"Dockerfile": "FROM a\n", "x": "y"})
	before := read(t, dir)
	other := before.WithDockerfile([]byte("FROM b\nLABEL c=d\n"))
	lay(t, dir, map[string]string{"Dockerfile": "FROM b\nLABEL c=d\n"})
	if after := read(t, dir); other.Digest != after.Digest || string(other.Text) != string(after.Text) || before.Digest == after.Digest {
		t.Errorf("%s, then %s, not %s", before.Digest, after.Digest, other.Digest)
	}
}
