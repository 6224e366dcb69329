package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls tries the system calls that change the machine, look into other containers, or get privileges.
func calls() []attempt {
	raw := func(number uintptr, a ...uintptr) func() error {
		a = append(a, make([]uintptr, 6)...)
		return func() error {
			if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	none := ^uintptr(0)
	return tryAll([]trial{
		{name: "mount a tmpfs", do: mountTmpfs},
		{name: "mount cgroup control files", do: mountCgroup},
		{name: "make a read-only mount writable", do: remount},
		{name: "a mount through the new mount calls (fsopen)", do: fsopen},
		{name: "a user namespace with all capabilities", do: func() error { return unix.Unshare(unix.CLONE_NEWUSER) }, granted: []unix.Errno{unix.EINVAL}},
		{name: "a mount namespace", do: func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{name: "a network namespace", do: func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{name: "a user namespace through clone3", do: clone3},
		{name: "enter another namespace (setns)", do: func() error { return enter("/proc/1/ns/net") }},
		{name: "a device node", do: deviceNode},
		{name: "new capabilities", do: raiseCapabilities},
		{name: "a change of the capabilities' bounds", do: dropBound},
		{name: "load a kernel module", do: raw(unix.SYS_INIT_MODULE), granted: []unix.Errno{unix.EFAULT, unix.ENOEXEC, unix.EINVAL}},
		{name: "load another kernel", do: raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, none), granted: []unix.Errno{unix.EINVAL}},
		{name: "restart the machine", do: raw(unix.SYS_REBOOT), granted: []unix.Errno{unix.EINVAL}},
		{name: "a BPF map", do: bpfMap},
		{name: "performance counters of all processes", do: perfEvent},
		{name: "the kernel's log", do: func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 16)); return err }},
		{name: "a keyring", do: func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err }},
		{name: "a file by its handle, past all mounts", do: byHandle, granted: []unix.Errno{unix.ESTALE}},
		{name: "swap on a file", do: raw(unix.SYS_SWAPON), granted: []unix.Errno{unix.EFAULT, unix.ENOENT}},
		{name: "the host's name", do: func() error { return unix.Sethostname([]byte("attacked")) }},
		{name: "the clock", do: setClock},
		{name: "another root directory", do: func() error { return unix.Chroot("/") }},
		{name: "a quicker place among processes", do: func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -10) }},
		{name: "page faults handled in user space (userfaultfd)", do: raw(unix.SYS_USERFAULTFD)},
		{name: "io_uring", do: ioUring},
	})
}

func mountTmpfs() error { return mountOnce("tmpfs") }

func mountCgroup() error { return mountOnce("cgroup2") }

func mountOnce(kind string) error {
	if err := unix.Mount(kind, "/dev/shm", kind, 0, ""); err != nil {
		return err
	}
	return unix.Unmount("/dev/shm", unix.MNT_DETACH)
}

// remount takes the first read-only bind mount there is: in an agent, that of its current configuration.
func remount() error {
	return unix.Mount("", "/etc/hosts", "", unix.MS_REMOUNT|unix.MS_BIND, "")
}

func fsopen() error {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func clone3() error {
	// A namespace flag with an exit signal that is none: who may make the namespace is told that, and gets no process.
	args := struct{ flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64 }{flags: unix.CLONE_NEWUSER | unix.CLONE_FS}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	switch errno {
	case 0:
		return errors.New("a process that should not be")
	case unix.EINVAL: // the flags contradict each other: it was looked at
		return nil
	case unix.ENOSYS: // what a profile answers, so that programs fall back to clone
		return unix.EPERM
	}
	return errno
}

func enter(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Setns(fd, 0), unix.Close(fd))
}

func deviceNode() error {
	path := "/dev/shm/attack-device"
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		return err
	}
	return os.Remove(path)
}

func raiseCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{Effective: 1 << unix.CAP_NET_RAW, Permitted: 1 << unix.CAP_NET_RAW}}
	return unix.Capset(&header, &sets[0])
}

func dropBound() error {
	return unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_WAKE_ALARM, 0, 0, 0)
}

func bpfMap() error {
	attributes := struct{ kind, key, value, entries, flags uint32 }{kind: unix.BPF_MAP_TYPE_ARRAY, key: 4, value: 4, entries: 1}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func perfEvent() error {
	attributes := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	attributes.Size = uint32(unsafe.Sizeof(attributes))
	fd, err := unix.PerfEventOpen(&attributes, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// byHandle is how containers were broken out of that may read any file (2014, "shocker").
func byHandle() error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc/hosts", 0)
	if err != nil {
		return fmt.Errorf("name_to_handle_at: %w", err)
	}
	fd, err := unix.OpenByHandleAt(unix.AT_FDCWD, handle, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// setClock sets the clock to what it shows.
func setClock() error {
	var now unix.Timeval
	if err := unix.Gettimeofday(&now); err != nil {
		return err
	}
	return unix.Settimeofday(&now)
}

func ioUring() error {
	params := make([]byte, 120)
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])), 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}
