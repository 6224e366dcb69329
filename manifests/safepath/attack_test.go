package safepath

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace is set in the process that runs the attacks: it has mounts of its own, so that it can make some.
const inNamespace = "SAFEPATH_TEST_IN_NAMESPACE"

// TestPathAttacks runs the table of attacks in a process with a mount namespace of its own, which takes root or user namespaces.
func TestPathAttacks(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		runAttacks(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPathAttacks$", "-test.v=true")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the attacks (as root, or with user namespaces): %v\n%s", err, out)
	}
	passed := strings.Count(string(out), "--- PASS: TestPathAttacks/")
	t.Logf("%d attacks", passed)
	if passed < 60 {
		t.Errorf("%d attacks, want at least 60:\n%s", passed, out)
	}
}

// world is where an attack takes place: what the agent can write, and next to it what it must not reach.
type world struct {
	t      testing.TB
	dir    string
	place  string // /…/place: the agent's
	secret string // /…/secret/file
}

func newWorld(t testing.TB) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	w := world{t, dir, dir + "/place", dir + "/secret/file"}
	w.file("secret/file", "secret")
	w.file("place/file", "agent")
	w.file("a/b/c/d/file", "good")
	w.mkdir("place/sub/deep")
	w.file("place/sub/deep/file", "agent")
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) at(name string) string { return filepath.Join(w.dir, name) }

func (w world) mkdir(name string) string {
	w.t.Helper()
	must(w.t, os.MkdirAll(w.at(name), 0o755))
	return w.at(name)
}

func (w world) file(name, text string) string {
	w.t.Helper()
	w.mkdir(filepath.Dir(name))
	must(w.t, os.WriteFile(w.at(name), []byte(text), 0o600))
	return w.at(name)
}

func (w world) link(target, name string) string {
	w.t.Helper()
	must(w.t, os.Symlink(target, w.at(name)))
	return w.at(name)
}

func (w world) bind(source, target string) string {
	w.t.Helper()
	must(w.t, unix.Mount(source, target, "", unix.MS_BIND, ""))
	w.t.Cleanup(func() { must(w.t, unix.Unmount(target, unix.MNT_DETACH)) })
	return target
}

func (w world) fifo(name string) string {
	w.t.Helper()
	must(w.t, syscall.Mkfifo(w.at(name), 0o600))
	return w.at(name)
}

func (w world) socket(name string) string {
	w.t.Helper()
	w.t.Chdir(w.dir) // the name of a socket must be short
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "unix", name)
	must(w.t, err)
	w.t.Cleanup(func() { _ = l.Close() })
	return w.at(name)
}

// set is what the agent of the world can write.
func (w world) set() Set {
	w.t.Helper()
	p, err := NewPlace(w.place)
	must(w.t, err)
	p.Bottle, p.Field, p.Where = "evil", "spec.agent.mounts[0]", "evil.yaml:1"
	return NewSet(p)
}

// Outcomes of reading a path.
const (
	writable   = "the agent of bottle evil can write it"
	magic      = "it leads through a link of /proc"
	notRegular = "it is not a regular file"
)

// attack is one way to have somebody else's file read as if it could be trusted. path prepares it; want is a part of the error or,
// after "=", the content that is read.
type attack struct {
	name string
	path func(w world) string
	want string
}

// whole is a good path, each level of which is attacked.
const whole = "a/b/c/d/file"

func attacks() []attack {
	var all []attack
	add := func(name, want string, path func(w world) string) { all = append(all, attack{name, path, want}) }
	levels := []string{"a", "a/b", "a/b/c", "a/b/c/d", whole}
	for i, level := range levels {
		rest := whole[len(level):]
		for _, how := range []string{"absolute", "relative"} {
			replace := func(w world, target string) {
				must(w.t, os.Rename(w.at(level), w.at("moved")))
				if how == "relative" {
					target = must1(filepath.Rel(filepath.Dir(w.at(level)), target))
				}
				w.link(target, level)
			}
			add(fmt.Sprintf("level %d is a link into the place, %s", i, how), writable, func(w world) string {
				w.file("place/x"+rest+"", "agent")
				replace(w, w.at("place/x"))
				return w.at("a/b/c/d/file")
			})
			add(fmt.Sprintf("level %d of the place is a link out of it, %s", i, how), writable, func(w world) string {
				must(w.t, os.Rename(w.at("a"), w.at("place/a")))
				target := w.file("other/x"+rest, "secret")
				target = strings.TrimSuffix(target, rest)
				if how == "relative" {
					target = must1(filepath.Rel(filepath.Dir(w.at("place/"+level)), target))
				}
				must(w.t, os.RemoveAll(w.at("place/"+level)))
				w.link(target, "place/"+level)
				return w.at("place/a/b/c/d/file")
			})
		}
	}
	for _, c := range [][2]string{
		{"the agent's file", "place/file"},
		{"a file deep in the place", "place/sub/deep/file"},
		{"dots out of the place and in again", "place/../place/file"},
		{"dots from the place to another directory", "place/../secret/file"},
		{"dots through a directory of the place", "place/sub/../../secret/file"},
		{"many slashes and dots", "place//.//./file"},
	} {
		add(c[0], writable, func(w world) string { return w.dir + "/" + c[1] })
	}
	add("dots behind a link follow the link's end, not its name", writable, func(w world) string {
		w.link("../place/sub/deep", "a/l")
		return w.dir + "/a/l/../deep/file"
	})
	add("a link in the place that leads back to a good file", writable, func(w world) string { return w.link("../a/b/c/d/file", "place/l") })
	add("a chain of links, one of them in the place", writable, func(w world) string {
		w.link("../place/l2", "a/l1")
		w.link("../a/b/l3", "place/l2")
		w.link("c/d/file", "a/b/l3")
		return w.at("a/l1")
	})
	add("dots above the root", "=good", func(w world) string { return "/../../.." + w.at("a/b/c/d/file") })
	add("a link outside of all places is followed", "=good", func(w world) string { return w.link("b/c/d/file", "a/l") })
	return append(append(append(all, bindAttacks()...), procAttacks()...), specialAttacks()...)
}

func bindAttacks() []attack {
	return []attack{
		{"a file of the place bound elsewhere", func(w world) string { return w.bind(w.at("place/file"), w.file("a/bound", "")) }, writable},
		{"the place bound elsewhere", func(w world) string { return w.bind(w.place, w.mkdir("a/bound")) + "/file" }, writable},
		{"a directory of the place bound elsewhere", func(w world) string { return w.bind(w.at("place/sub"), w.mkdir("a/bound")) + "/deep/file" }, writable},
		{"a good file bound into the place", func(w world) string { return w.bind(w.at("a/b/c/d/file"), w.at("place/file")) }, writable},
		{"a good directory bound into the place", func(w world) string { return w.bind(w.at("a/b/c/d"), w.at("place/sub")) + "/file" }, writable},
		{"a bind of a bind of the place", func(w world) string {
			return w.bind(w.bind(w.at("place/sub"), w.mkdir("x")), w.mkdir("y")) + "/deep/file"
		}, writable},
		{"a link to a bind of the place", func(w world) string {
			w.bind(w.at("place/sub"), w.mkdir("x"))
			return w.link("../x/deep/file", "a/l")
		}, writable},
		{"a link in a bind of the place", func(w world) string {
			w.link(w.secret, "place/sub/l")
			return w.bind(w.at("place/sub"), w.mkdir("x")) + "/l"
		}, writable},
		{"a tmpfs mounted in the place", func(w world) string {
			at := w.at("place/sub")
			must(w.t, unix.Mount("tmpfs", at, "tmpfs", 0, ""))
			w.t.Cleanup(func() { must(w.t, unix.Unmount(at, unix.MNT_DETACH)) })
			return w.file("place/sub/file", "good")
		}, writable},
		{"a good directory bound elsewhere", func(w world) string { return w.bind(w.at("a/b/c/d"), w.mkdir("x")) + "/file" }, "=good"},
		{"a mount over the place hides the agent's file", func(w world) string {
			return w.bind(w.at("a/b/c/d"), w.place) + "/file"
		}, "=good"},
	}
}

func procAttacks() []attack {
	of := func(path string) func(w world) string { return func(w world) string { return path + w.secret } }
	return []attack{
		{"/proc/self/root", of("/proc/self/root"), magic},
		{"/proc/thread-self/root", of("/proc/thread-self/root"), magic},
		{"/proc/1/root", of("/proc/1/root"), magic},
		{"/proc/self/cwd", func(w world) string { w.t.Chdir(w.at("secret")); return "/proc/self/cwd/file" }, magic},
		{"/proc/self/fd", func(w world) string {
			f, err := os.Open(w.secret)
			must(w.t, err)
			w.t.Cleanup(func() { _ = f.Close() })
			return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
		}, magic},
		{"/proc/self/exe", func(world) string { return fmt.Sprintf("/proc/%d/exe", os.Getpid()) }, magic},
		{"a link to /proc/self/root", func(w world) string { return w.link("/proc/self/root", "a/l") + w.secret }, magic},
		{"a link to a link of /proc", func(w world) string { return w.link(w.link("/proc/self/root", "a/l"), "a/m") + w.secret }, magic},
		{"/dev/stdin", func(world) string { return "/dev/stdin" }, magic},
	}
}

func specialAttacks() []attack {
	return []attack{
		{"a FIFO", func(w world) string { return w.fifo("a/fifo") }, notRegular},
		{"a link to a FIFO", func(w world) string { w.fifo("a/fifo"); return w.link("fifo", "a/l") }, notRegular},
		{"a socket", func(w world) string { return w.socket("a/s") }, notRegular},
		{"a directory", func(w world) string { return w.at("a/b") }, notRegular},
		{"/dev/zero, which never ends", func(world) string { return "/dev/zero" }, notRegular},
		{"/dev/tty, which blocks", func(world) string { return "/dev/tty" }, notRegular},
		{"a large file", func(w world) string { return w.file("a/large", strings.Repeat("x", 101)) }, "too large: more than 100 bytes"},
		{"a sparse file of a terabyte", func(w world) string {
			path := w.file("a/sparse", "")
			must(w.t, os.Truncate(path, 1<<40))
			return path
		}, "too large"},
		{"a file as a directory", func(w world) string { return w.at("a/b/c/d/file/x") }, "not a directory"},
		{"a file with a slash behind it", func(w world) string { return w.at("a/b/c/d/file") + "/" }, "not a directory"},
		{"a FIFO as a directory", func(w world) string { return w.fifo("a/fifo") + "/x" }, "not a directory"},
		{"a link to itself", func(w world) string { return w.link("l", "a/l") }, "too many levels"},
		{"two links to each other", func(w world) string { w.link("m", "a/l"); return w.link("l", "a/m") }, "too many levels"},
		{"a link that grows", func(w world) string { return w.link("l/l", "a/l") }, "too many levels"},
		{"more components than any path has", func(w world) string { return strings.Repeat("/.", 5000) + w.secret }, "file name too long"},
		{"a name that is too long", func(w world) string { return w.at("a/" + strings.Repeat("x", 300)) }, "file name too long"},
		{"a NUL byte", func(w world) string { return w.at("a/b/c/d/file") + "\x00.pem" }, "invalid argument"},
		{"a relative path", func(w world) string { w.t.Chdir(w.dir); return "secret/file" }, "not absolute"},
		{"no path", func(world) string { return "" }, "not absolute"},
		{"a link to nowhere", func(w world) string { return w.link("none", "a/l") }, "no such file"},
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func runAttacks(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			w := newWorld(t)
			set := w.set()
			path := a.path(w)
			type result struct {
				data []byte
				err  error
			}
			done := make(chan result, 1)
			go func() {
				data, err := set.ReadFile(path, 100)
				done <- result{data, err}
			}()
			var got result
			select {
			case got = <-done:
			case <-time.After(10 * time.Second):
				t.Fatal("it blocks")
			}
			if want, ok := strings.CutPrefix(a.want, "="); ok {
				if got.err != nil || string(got.data) != want {
					t.Errorf("%q, %v, want %q", got.data, got.err, want)
				}
				return
			}
			if got.err == nil || got.data != nil || !strings.Contains(got.err.Error(), a.want) {
				t.Errorf("%q, %v, want an error with %q", got.data, got.err, a.want)
			}
			if path := new(fs.PathError); a.want != writable && !errors.As(got.err, &path) {
				t.Errorf("%v does not name the path", got.err)
			}
		})
	}
	t.Run("replaced while held", attackHeld)
}

// attackHeld replaces each parent of an object that is open: what was judged is what is read, and the path is seen to lead
// elsewhere.
func attackHeld(t *testing.T) {
	for _, level := range []string{"a", "a/b", "a/b/c", "a/b/c/d", whole} {
		rest := whole[len(level):]
		for how, replace := range map[string]func(w world){
			"renamed away": func(world) {},
			"for a link":   func(w world) { w.file("x"+rest, "secret"); w.link(w.at("x"), level) },
			"for another":  func(w world) { w.file(level+rest, "secret") },
		} {
			t.Run(level+" "+how, func(t *testing.T) {
				w := newWorld(t)
				o, err := w.set().Open(w.at("a/b/c/d/file"))
				must(t, err)
				defer o.Close()
				must(t, os.Rename(w.at(level), w.at("moved")))
				replace(w)
				if data, err := o.Read(100); err != nil || string(data) != "good" {
					t.Errorf("%q, %v", data, err)
				}
				if now, err := Open(w.at("a/b/c/d/file")); err == nil && now.ID == o.ID && now.Real == o.Real {
					t.Error("the path seems to be as it was")
				}
			})
		}
	}
}
