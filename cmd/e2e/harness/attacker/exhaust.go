package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// setuid says whether this program, whose file is set-user-ID root, runs as root.
func setuid([]string) ([]attempt, error) {
	if os.Getuid() == 0 {
		return nil, errors.New("it is root already")
	}
	if os.Geteuid() == 0 {
		return []attempt{{Name: "root through a set-user-ID file", Granted: true}}, nil
	}
	return []attempt{{Name: "root through a set-user-ID file", Error: "not root"}}, nil
}

// forks starts processes until it has as many as asked for, or until it can't, and tells how many they were.
func forks(args []string) ([]attempt, error) {
	most, err := number(args)
	if err != nil {
		return nil, err
	}
	var started []int
	var failed error
	for len(started) < most {
		pid, err := sleeper()
		if err != nil {
			failed = err
			break
		}
		started = append(started, pid)
	}
	for _, pid := range started {
		err = errors.Join(err, unix.Kill(pid, unix.SIGKILL))
		_, waited := unix.Wait4(pid, nil, 0, nil)
		err = errors.Join(err, waited)
	}
	return []attempt{outcome(fmt.Sprintf("%d processes", len(started)), failed)}, err
}

// sleeper forks without exec, so that a process costs no memory of its own. The child may make no call but this one: it
// has one thread, and Go's runtime none.
func sleeper() (int, error) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for pid == 0 {
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0) // for ever
	}
	return int(pid), nil
}

// memory takes and uses as many MiB as asked for. It is killed when it may not.
func memory(args []string) ([]attempt, error) {
	mebis, err := number(args)
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(-1, 0, mebis<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return []attempt{outcome("map", err)}, nil
	}
	for i := 0; i < len(data); i += os.Getpagesize() {
		data[i] = 1
	}
	return []attempt{outcome(fmt.Sprintf("%d MiB", mebis), unix.Munmap(data))}, nil
}

// storm has as many children as it can killed for their memory, for as many seconds as asked for, and tells how many they were.
func storm(args []string) ([]attempt, error) {
	seconds, err := number(args)
	if err != nil {
		return nil, err
	}
	killed := 0
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		err := exec.CommandContext(context.Background(), "/proc/self/exe", "memory", "1024").Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			return nil, fmt.Errorf("a child that takes 1 GiB: %w", err)
		}
		killed++
	}
	return []attempt{outcome(fmt.Sprintf("%d children killed", killed), nil)}, nil
}

func number(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errors.New("one number is needed")
	}
	return strconv.Atoi(args[0])
}
