package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/bottled/reconciler/enginetest"
)

// openPTY returns both ends of a new terminal of a size.
func openPTY(t *testing.T, width, height int) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	resizePTY(t, master, width, height)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

func resizePTY(t *testing.T, master *os.File, width, height int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		t.Fatal(err)
	}
}

// TestWatchOnTerminal runs the real command on a terminal, until Ctrl-C.
func TestWatchOnTerminal(t *testing.T) {
	_, _, socket := testApp(t)
	c := serve(t, socket, live(bottle("a", "Ready", ""), bottle("b", "Failed", "no image")))
	master, terminal := openPTY(t, 60, 10)
	cmd := exec.Command(enginetest.Binary(t), "status", "--watch", "--run-dir", filepath.Dir(socket), "--state-dir", filepath.Dir(socket))
	cmd.Env = append(os.Environ(), "NO_COLOR=", "HOME="+t.TempDir())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	e := newEmulator(60, 10)
	raw := &lockedBuffer{}
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(e, raw), master)
		read <- err
	}()
	shows := func(want string) func() bool { return func() bool { return e.text() == want } }
	defer func() {
		if t.Failed() {
			t.Logf("on the terminal:\n%s\nwritten: %q", e.text(), raw)
		}
	}()
	const head = "BOTTLE   PART   READY   STATE    IMAGE\n"
	waitFor(t, "the table is there", shows(head+"a               yes     Ready\nb               no      Failed\n\nb: no image\n"))
	if !strings.Contains(raw.String(), "\x1b[31mb               no      Failed\x1b[0m") {
		t.Errorf("no red: %q", raw)
	}
	c.Set(live(bottle("a", "Ready", "")))
	waitFor(t, "the table changes in place", shows(strings.Replace(head, "  IMAGE", " IMAGE", 1)+"a               yes     Ready\n"))
	resizePTY(t, master, 25, 10)
	waitFor(t, "it is cut to the new width", shows(head[:25]+"\na               yes     R\n"))

	begin := time.Now()
	if _, err := master.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, raw)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Ctrl-C took %s", took)
	}
	if err := <-read; err != nil && !errors.Is(err, syscall.EIO) { // which a terminal that nobody has open gives
		t.Error(err)
	}
	if err := e.restored(); err != nil {
		t.Error(err)
	}
}
