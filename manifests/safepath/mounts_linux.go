package safepath

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mountEntry is a mount of this process's namespace (proc_pid_mountinfo(5)).
type mountEntry struct {
	fs    string // major:minor of the device
	root  string // what is mounted, from the file system's root
	point string // where it is mounted
}

// mounts is shared by all walks: it is read again only when the kernel says that the mounts changed.
var mounts mountTable

type mountTable struct {
	mu sync.Mutex
	// fd is /proc/self/mountinfo. It is no os.File: the runtime's poller would take the notice of a change away.
	fd      int
	open    bool
	entries map[uint64]mountEntry
}

// of returns the mount that an open file is on.
func (t *mountTable) of(fd int, stat *unix.Statx_t) (mountEntry, error) {
	id, err := mountID(fd, stat)
	if err != nil {
		return mountEntry{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return mountEntry{}, fmt.Errorf("read the mounts: %w", err)
	}
	entry, ok := t.entries[id]
	if !ok {
		return mountEntry{}, fmt.Errorf("%w: mount %d is gone", ErrMoved, id)
	}
	return entry, nil
}

// mountID asks the kernel; before 5.8 it says so only in /proc.
func mountID(fd int, stat *unix.Statx_t) (uint64, error) {
	if stat.Mask&unix.STATX_MNT_ID != 0 {
		return stat.Mnt_id, nil
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		if value, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("the kernel does not say on which mount a file is")
}

// refresh reads the table for the first time, or when it changed: then a poll of it reports an exceptional condition.
func (t *mountTable) refresh() error {
	if !t.open {
		fd, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.fd, t.open = fd, true
	}
	polled := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLPRI}} //nolint:gosec // a descriptor fits
	if _, err := unix.Poll(polled, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	if polled[0].Revents == 0 && t.entries != nil {
		return nil
	}
	return t.read()
}

func (t *mountTable) read() error {
	if _, err := unix.Seek(t.fd, 0, 0); err != nil {
		return err
	}
	var text strings.Builder
	for buffer := make([]byte, 64<<10); ; {
		n, err := unix.Read(t.fd, buffer)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n == 0 {
			break
		}
		text.Write(buffer[:max(n, 0)])
	}
	entries := map[uint64]mountEntry{}
	for line := range strings.Lines(text.String()) {
		// 36 35 98:0 /root /point options … - type source options
		f := strings.Fields(line)
		if len(f) < 5 {
			return fmt.Errorf("a line of mountinfo has %d fields", len(f))
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return err
		}
		entries[id] = mountEntry{fs: f[2], root: unescape(f[3]), point: unescape(f[4])}
	}
	t.entries = entries
	return nil
}

// unescape undoes the kernel's \ooo for white space and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
