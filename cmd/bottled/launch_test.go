package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a new terminal, whose size is 0 × 0.
func openPTY(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() }) // nothing is left to be written
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// launched runs bottled launch on a terminal that gets a size a moment later, and returns what is printed and the exit code.
func launched(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	master, terminal := openPTY(t)
	cmd := exec.Command(os.Args[0], append([]string{"launch"}, args...)...)
	// What an agent has in its environment is not bottled's.
	cmd.Env = append(os.Environ(), runVariable+"=1", "BOTTLED_UNKNOWN=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	sized := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() {
		defer close(sized)
		_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 31, Col: 97}) // the program's output tells
	})
	var all bytes.Buffer
	_, _ = io.Copy(&all, master) // until EIO: everything has closed the terminal
	_ = cmd.Wait()               // the exit code is the result
	<-sized
	return all.String(), cmd.ProcessState.ExitCode()
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		out  string
		code int
	}{
		"the size is there from the start": {[]string{"stty", "size"}, "31 97\r\n", 0},
		"the program's own flags":          {[]string{"sh", "-c", "echo $0 $1; exit 7", "--help", "-o"}, "--help -o\r\n", 7},
		"a program that is missing":        {[]string{"no-such-program"}, "bottled: no-such-program: executable file not found in $PATH\r\n", 127},
		"a path that is missing":           {[]string{"/no/such/program"}, "bottled: /no/such/program: no such file or directory\r\n", 127},
		"a directory":                      {[]string{"/usr"}, "bottled: /usr: is a directory\r\n", 126},
		"a file that is no program":        {[]string{"/etc/passwd"}, "bottled: /etc/passwd: permission denied\r\n", 126},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, code := launched(t, test.args...); out != test.out || code != test.code {
				t.Errorf("it printed %q and ended with %d, want %q and %d", out, code, test.out, test.code)
			}
		})
	}
}
