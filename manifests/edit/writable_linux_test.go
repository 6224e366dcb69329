package edit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/manifests/safepath"
)

// asNobody calls a function as a user who owns nothing, if this process is root's.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if err := unix.Setfsuid(54321); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

// refuses fails the test unless Check and Write fail with an error, and leave the file as it is.
func refuses(t *testing.T, path string, want error, say string) {
	t.Helper()
	for name, err := range map[string]error{
		"Check": Check(path, safepath.Set{}),
		"Write": Write(path, []byte(oldText), []byte(newText), safepath.Set{}),
	} {
		if !errors.Is(err, want) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want %v (%s)", name, err, want, say)
		}
	}
	checkFile(t, path, oldText)
}

// TestCheckPermissions is about a file in a directory of somebody else, and one of somebody else.
func TestCheckPermissions(t *testing.T) {
	path := manifestIn(t)
	dir := filepath.Dir(path)
	for _, err := range []error{os.Chmod(path, 0o644), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 54321, 54321); err != nil { // asNobody's effective user is root
			t.Fatal(err)
		}
		asNobody(t, func() { refuses(t, path, ErrNotReplaceable, "it belongs to user 54321") })
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() { refuses(t, path, fs.ErrPermission, "give bottled the permission to write in its directory") })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if err := Check(path, safepath.Set{}); err != nil {
			t.Error(err)
		}
	})
	checkFile(t, path, oldText)
}

// TestCheckImmutable is about a file, and then a directory, that not even root changes.
func TestCheckImmutable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files immutable")
	}
	path := manifestIn(t)
	for _, flagged := range []string{path, filepath.Dir(path)} {
		t.Cleanup(func() {
			if err := setFlag(flagged, 0); err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) {
				t.Error(err)
			}
		})
		for _, flag := range []int{unix.STATX_ATTR_IMMUTABLE, unix.STATX_ATTR_APPEND} {
			err := setFlag(flagged, flag)
			if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("the file system of the temporary directory has no immutable files")
			}
			if err != nil {
				t.Fatal(err)
			}
			refuses(t, path, ErrNotReplaceable, "chattr -ia "+flagged)
			if err := setFlag(flagged, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Check(path, safepath.Set{}); err != nil {
		t.Error(err)
	}
}

// setFlag gives a file one of these attributes, which have the values of FS_IMMUTABLE_FL and FS_APPEND_FL, or none.
func setFlag(path string, flag int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND)|flag)
}
