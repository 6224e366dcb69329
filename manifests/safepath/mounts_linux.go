package safepath

import (
	"bytes"
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
	mu      sync.Mutex
	file    *os.File
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
		return mountEntry{}, fmt.Errorf("mount %d is not listed in /proc/self/mountinfo", id)
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
	return 0, fmt.Errorf("the kernel does not say on which mount a file is")
}

// refresh reads the table for the first time, or when it changed: then a poll of it reports an exceptional condition.
func (t *mountTable) refresh() error {
	if t.file != nil {
		polled := []unix.PollFd{{Fd: int32(t.file.Fd()), Events: unix.POLLPRI}} //nolint:gosec // a descriptor fits
		if _, err := unix.Poll(polled, 0); err != nil && err != unix.EINTR {
			return err
		}
		if polled[0].Revents == 0 {
			return nil
		}
	} else {
		file, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		t.file = file
	}
	return t.read()
}

func (t *mountTable) read() error {
	if _, err := t.file.Seek(0, 0); err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(t.file); err != nil {
		return err
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
