package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoRelay is returned while no relay is connected.
var ErrNoRelay = errors.New("its ingress does not run")

const (
	// relayTimeout is how long a client waits for a relay, which may just be starting again.
	relayTimeout = 5 * time.Second
	// answerTimeout is how long a relay may take to connect to a target. It gives up itself before that.
	answerTimeout = dialTimeout + 5*time.Second
)

// Host is the host's side of a relay.
type Host struct {
	listener *net.UnixListener
	dir      *os.File
	path     string
	bound    os.FileInfo // the socket's
	spare    chan *net.UnixConn
	accepts  sync.WaitGroup
}

// Listen listens for a relay in a directory, which must be bottled's own. A socket that is there is replaced.
func Listen(path string) (*Host, error) {
	dir, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	h := &Host{dir: dir, path: path, spare: make(chan *net.UnixConn, maxSpares)}
	if err := h.bind(); err != nil {
		return nil, errors.Join(fmt.Errorf("socket of the ingress in %s: %w", path, err), dir.Close())
	}
	h.accepts.Go(h.accept)
	return h, nil
}

// bind makes the socket. Its directory's mode guards it: the relay's user, which is another one on this host, must be able to connect.
func (h *Host) bind() error {
	if err := h.unlink(); err != nil {
		return err
	}
	// By the directory's descriptor, since the kernel allows 107 bytes.
	name := filepath.Join("/proc/self/fd", strconv.Itoa(int(h.dir.Fd())), SocketName)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)             // see Close
	if err = os.Chmod(name, 0o666); err == nil { //nolint:gosec // see above
		h.bound, err = os.Lstat(name)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	h.listener = listener
	return nil
}

func (h *Host) unlink() error {
	err := unix.Unlinkat(int(h.dir.Fd()), SocketName, 0)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// accept collects spare connections until the listener is closed. The oldest makes room for a new one: it may be of a relay that is gone.
func (h *Host) accept() {
	for {
		conn, err := h.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			close(h.spare)
			return
		case err != nil: // no descriptor is left, say
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for added := false; !added; {
			select {
			case h.spare <- conn:
				added = true
			default:
				select {
				case oldest := <-h.spare:
					_ = oldest.Close()
				default:
				}
			}
		}
	}
}

// IsBound reports whether the socket is still where a relay finds it: others may have removed it, or its directory.
func (h *Host) IsBound() bool {
	now, err := os.Lstat(filepath.Join(h.path, SocketName))
	return err == nil && os.SameFile(now, h.bound)
}

// Dial connects to a target in the bottle: a component's name and a port.
func (h *Host) Dial(ctx context.Context, target string) (net.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	for {
		select {
		case conn, open := <-h.spare:
			if !open {
				return nil, net.ErrClosed
			}
			answer, err := ask(ctx, conn, target)
			if err == nil {
				err = errorOf(answer)
			} else if errors.Is(err, errGone) {
				_ = conn.Close()
				continue // the relay ended since
			}
			if err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return conn, nil
		case <-wait.Done():
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			return nil, ErrNoRelay
		}
	}
}

// errGone marks a spare connection whose relay is gone.
var errGone = errors.New("the relay is gone")

// ask has a relay connect to a target, and returns its answer.
func ask(ctx context.Context, conn *net.UnixConn, target string) (byte, error) {
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write([]byte(target + "\n")); err != nil {
		return 0, fmt.Errorf("%w: %w", errGone, err)
	}
	answer := make([]byte, 1)
	_, err := io.ReadFull(conn, answer)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return 0, fmt.Errorf("%w: %w", errGone, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, errors.Join(context.Cause(ctx), ErrTimeout)
	case err != nil:
		return 0, err
	}
	return answer[0], conn.SetDeadline(time.Time{})
}

// Close ends the listener and the spare connections. Connections that Dial returned go on.
func (h *Host) Close() error {
	var unlinked error
	if now, err := os.Lstat(filepath.Join("/proc/self/fd", strconv.Itoa(int(h.dir.Fd())), SocketName)); err == nil && os.SameFile(now, h.bound) {
		unlinked = h.unlink()
	}
	err := errors.Join(unlinked, h.listener.Close())
	h.accepts.Wait()
	for conn := range h.spare {
		_ = conn.Close()
	}
	return errors.Join(err, h.dir.Close())
}
