package edit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

func TestWriteKeepsAttributesAndOwner(t *testing.T) {
	path := manifestIn(t)
	if err := unix.Setxattr(path, "user.note", []byte("mine"), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of the temporary directory has no attributes")
	} else if err != nil {
		t.Fatal(err)
	}
	acl := accessList()
	if err := unix.Setxattr(path, aclAttribute, acl, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	} else if err != nil {
		acl = nil
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 2345); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte(oldText), []byte(newText), safepath.Set{}); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 64)
	n, err := unix.Getxattr(path, "user.note", value)
	if err != nil || string(value[:n]) != "mine" {
		t.Errorf("the attribute is %q, %v", value[:max(n, 0)], err)
	}
	if n, err = unix.Getxattr(path, aclAttribute, value); acl != nil && (err != nil || !bytes.Equal(value[:n], acl)) {
		t.Errorf("the access control list is %x, %v, want %x", value[:max(n, 0)], err, acl)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if a.Uid != b.Uid || a.Gid != b.Gid || a.Mode != b.Mode {
		t.Errorf("owner %d:%d mode %o, was %d:%d mode %o", b.Uid, b.Gid, b.Mode, a.Uid, a.Gid, a.Mode)
	}
}

// accessList is an access control list that lets user 4321 read (linux/posix_acl_xattr.h).
func accessList() []byte {
	list := []byte{2, 0, 0, 0}
	const none = 1<<32 - 1
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, none}, {2, 4, 4321}, {4, 4, none}, {0x10, 4, none}, {0x20, 0, none}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.perm)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

const inNamespace = "EDIT_TEST_DIRECTORY"

// TestWriteOnFullAndReadOnlyFileSystems mounts a small file system, in a process with a mount namespace of its own.
func TestWriteOnFullAndReadOnlyFileSystems(t *testing.T) {
	if dir := os.Getenv(inNamespace); dir != "" {
		writeOnFullAndReadOnly(t, dir)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program, "-test.run=^TestWriteOnFullAndReadOnlyFileSystems$", "-test.count=1")
	child.Env = append(os.Environ(), inNamespace+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if id := os.Geteuid(); id != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this process may have no mount namespace of its own")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func writeOnFullAndReadOnly(t *testing.T, dir string) {
	t.Helper()
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	path := writeOld(t, filepath.Join(dir, "dev.yaml"))
	large := bytes.Repeat([]byte("# large\n"), 100<<10/8)
	if err := Write(path, []byte(oldText), large, safepath.Set{}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v, want %v", err, ErrNoSpace)
	}
	checkFile(t, path, oldText)
	if err := Check(path, safepath.Set{}); err != nil {
		t.Error(err)
	}
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	refuses(t, path, ErrNotReplaceable, "it is a mount point")
	if err := errors.Join(unix.Unmount(path, 0), unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
		t.Fatal(err)
	}
	refuses(t, path, ErrReadOnly, "mount it writable")
}
