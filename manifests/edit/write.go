package edit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

const (
	// temporary is how the names of new files begin. Hidden files are no manifests, and no watcher follows them.
	temporary = ".bottled-edit-"
	// abandoned is the age above which such a file was left behind by a crash.
	abandoned = time.Minute
	// kubernetesData is the link through which Kubernetes publishes a ConfigMap.
	kubernetesData = "..data"
	// maxRestores bounds how often a file is put back that others replace all the time.
	maxRestores = 100
)

// writing serializes the writes of this process: of two for one content, the second one fails.
var writing sync.Mutex

// target is a file to be replaced, in its directory.
type target struct {
	path string // as given
	file *safepath.Object
	dir  *os.Root
	name string
}

// Read returns the content of a file of manifests. path is absolute. It fails with *safepath.Error if one of the agents can, or could,
// write the file or decide where the path leads, and with safepath.ErrTooLarge above parse.MaxFileSize.
func Read(path string, agents safepath.Set) ([]byte, error) {
	o, err := openFile(path, agents)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	data, err := o.Read(parse.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// openFile opens a path that leads through nothing that an agent can write.
func openFile(path string, agents safepath.Set) (*safepath.Object, error) {
	o, err := safepath.Open(path)
	if err != nil {
		return nil, err
	}
	if by, writable := agents.Writable(o.Trace); writable {
		_ = o.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", path, &safepath.Error{Path: path, Place: by})
	}
	return o, nil
}

// Write replaces the content of a file, if it still is before; otherwise it fails with ErrChanged. path is absolute; symbolic links of
// people, like those of stow, are followed, and the file that they lead to is replaced. Readers see the old content or the new one, also
// after a crash. The file keeps its mode, owner, access control list and user attributes.
//
// Nothing is written, and the error says what to do, where an agent can or could write the file or decide where the path leads
// (*safepath.Error), where the file can't be replaced (ErrNotReplaceable: other hard links would keep the old content, for example), and
// where bottled may not (fs.ErrPermission), can't (ErrReadOnly) or has no space (ErrNoSpace).
//
// Programs that replace the file at the same moment lose nothing. One that writes into the file without replacing it is noticed only if it
// has begun before. Some file systems (of FUSE, NFS) can't exchange two files: there, a few microseconds remain between the comparison and
// the replacement.
func Write(path string, before, after []byte, agents safepath.Set) error {
	writing.Lock()
	defer writing.Unlock()
	t, err := openTarget(path, agents)
	if err != nil {
		return explain(path, err)
	}
	defer t.close()
	if err := t.compare(t.name, before); err != nil {
		return err
	}
	if bytes.Equal(before, after) {
		return nil
	}
	if err := t.writable(); err != nil {
		return explain(path, err)
	}
	return explain(path, t.replace(before, after))
}

// Check returns the error with which Write would fail, as far as that can be told without a change; nil where it may succeed. It finds what
// lasts: read-only mounts, missing permissions, immutable files. A full disk, for example, is found by Write only.
func Check(path string, agents safepath.Set) error {
	t, err := openTarget(path, agents)
	if err != nil {
		return explain(path, err)
	}
	defer t.close()
	return explain(path, t.writable())
}

func openTarget(path string, agents safepath.Set) (*target, error) {
	o, err := openFile(path, agents)
	if err != nil {
		return nil, err
	}
	t := &target{path: path, file: o, name: filepath.Base(o.Real)}
	if err := t.check(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	dir, err := openFile(filepath.Dir(o.Real), agents)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	defer dir.Close()
	if t.dir, err = dir.Root(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return t, nil
}

func (t *target) close() {
	_ = t.file.Close()
	_ = t.dir.Close()
}

// check refuses what can't be replaced without loss.
func (t *target) check() error {
	for _, at := range t.file.Trace {
		if path.Base(at.Path) == kubernetesData {
			return fmt.Errorf("%s: %w: Kubernetes publishes it; change the ConfigMap", t.path, ErrNotReplaceable)
		}
	}
	if !t.file.Info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: %w", t.path, ErrNotReplaceable, safepath.ErrNotRegular)
	}
	stat, ok := t.file.Info.Sys().(*syscall.Stat_t)
	if !ok || stat.Nlink > 1 {
		return fmt.Errorf("%s: %w: it has other hard links, which would keep the old content; copy it over itself (cp FILE NEW && mv NEW FILE)", t.path, ErrNotReplaceable)
	}
	return nil
}

// compare fails with ErrChanged if a file in the directory has another content.
func (t *target) compare(name string, want []byte) error {
	data, err := t.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it is gone", t.path, ErrChanged)
	case err != nil && !errors.Is(err, ErrChanged):
		return fmt.Errorf("read %s: %w", t.path, err)
	case err != nil || !bytes.Equal(data, want):
		return fmt.Errorf("%s: %w since it was read", t.path, ErrChanged)
	}
	return nil
}

// read reads a regular file of the directory. What is no regular file now is another one.
func (t *target) read(name string) ([]byte, error) {
	before, err := t.dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	f, err := t.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !os.SameFile(before, info) { // the latter for a symbolic link, which is followed
		return nil, ErrChanged
	}
	return io.ReadAll(io.LimitReader(f, parse.MaxFileSize+1))
}

// replace writes a new file, and exchanges it with the old one.
func (t *target) replace(before, after []byte) (err error) {
	t.clean()
	name := temporary + rand.Text()
	if err := t.create(name, after); err != nil {
		return errors.Join(err, t.drop(name))
	}
	if err := t.swap(name, before); err != nil {
		return err
	}
	return t.sync()
}

// clean removes what a crash has left behind.
func (t *target) clean() {
	entries, err := fs.ReadDir(t.dir.FS(), ".")
	if err != nil {
		return // nor can a file be created: that says why
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), temporary) {
			continue
		}
		if info, err := t.dir.Lstat(entry.Name()); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			_ = t.dir.Remove(entry.Name()) // it harms nobody
		}
	}
}

// create writes a file like the old one, with another content.
func (t *target) create(name string, data []byte) error {
	f, err := t.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = t.keep(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// keep gives a new file the owner, attributes and mode of the old one.
func (t *target) keep(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	old, isOld := t.file.Info.Sys().(*syscall.Stat_t)
	now, isNow := info.Sys().(*syscall.Stat_t)
	if isOld && isNow && (old.Uid != now.Uid || old.Gid != now.Gid) {
		if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return t.ofSomebodyElse()
		}
	}
	if err := f.Chmod(t.file.Info.Mode()); err != nil {
		return err
	}
	return t.keepAttributes(f)
}

// ofSomebodyElse is the error of a file whose owner the new one can't have.
func (t *target) ofSomebodyElse() error {
	uid, gid := -1, -1
	if stat, ok := t.file.Info.Sys().(*syscall.Stat_t); ok {
		uid, gid = int(stat.Uid), int(stat.Gid)
	}
	return fmt.Errorf("%s: %w: it belongs to user %d and group %d, and bottled may not give them a file; run bottled as that user", t.path, ErrNotReplaceable, uid, gid)
}

// drop removes a file, which may be gone.
func (t *target) drop(name string) error {
	if err := t.dir.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// swap puts the new file in the place of the old one, if that still has the content of before.
func (t *target) swap(name string, before []byte) error {
	ours, err := t.dir.Lstat(name)
	if err != nil {
		return err
	}
	err = t.exchange(name)
	if errors.Is(err, errors.ErrUnsupported) {
		if err = t.compare(t.name, before); err == nil {
			err = t.dir.Rename(name, t.name)
		}
		return errors.Join(err, t.drop(name))
	}
	if err != nil {
		return errors.Join(err, t.drop(name))
	}
	found := t.compare(name, before)
	if found == nil {
		return t.drop(name)
	}
	if err := t.restore(name, ours); err != nil {
		return fmt.Errorf("%s: %w; what it had is in %s", t.path, err, path.Join(filepath.Dir(t.file.Real), name))
	}
	return found
}

// restore puts back what was in the place, and removes the new file. Whatever others put there meanwhile is newer, and stays.
func (t *target) restore(name string, ours fs.FileInfo) error {
	for range maxRestores {
		back, err := t.dir.Lstat(name)
		if err != nil {
			return err
		}
		if err := t.exchange(name); err != nil {
			return err
		}
		now, err := t.dir.Lstat(name)
		if err != nil {
			return err
		}
		if os.SameFile(now, ours) {
			return t.drop(name)
		}
		ours = back
	}
	return ErrChanged
}

// sync makes the replacement survive a crash.
func (t *target) sync() error {
	dir, err := t.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// explain names the errors that people can do something about.
func explain(path string, err error) error {
	var writable *safepath.Error
	switch {
	case err == nil || errors.Is(err, ErrNotReplaceable) || errors.Is(err, ErrChanged) || errors.As(err, &writable):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it is gone", path, ErrChanged)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("write %s: %w: %w; mount it writable, or make the change where the files come from", path, ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("write %s: %w: %w", path, ErrNoSpace, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("write %s: %w: it is a mount point; mount its directory instead of the file: %w", path, ErrNotReplaceable, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("write %s: %w; give bottled the permission to write in its directory", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}
