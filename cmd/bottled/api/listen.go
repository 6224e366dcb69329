package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/state/owndir"
)

// maxSocketPath is the kernel's limit in bytes (sun_path in unix(7), without the final NUL).
const maxSocketPath = 107

// listenUnix listens on a socket that only this user can connect to.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if n := len(path); n > maxSocketPath {
		return nil, fmt.Errorf("the path of the controller's socket, %s, has %d bytes, and the kernel allows %d: choose a shorter --run-dir", path, n, maxSocketPath)
	}
	if err := owndir.Make(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("run directory: %w; or choose another with --run-dir", err)
	}
	if err := removeStaleSocket(ctx, path); err != nil {
		return nil, err
	}
	// The socket's mode before bind is the file's from the start, so there is no moment in which others can connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("controller's socket: %w", err)
	}
	return peerListener{l}, nil
}

// removeStale removes the socket of a controller that was killed. The socket of a running one, and any other file, is an error.
func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("controller's socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("controller's socket: %s is in the way and no socket; remove it, or choose another --run-dir", path)
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another controller listens at %s: stop it, or give each its own --run-dir", path), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED): // nobody accepts
		return os.Remove(path)
	}
	return fmt.Errorf("controller's socket: %w", err)
}

// ErrAddress marks an address that is not a loopback address with a port.
var ErrAddress = errors.New("use a loopback address and a port, such as 127.0.0.1:9300")

// listenTCP listens on a loopback address.
func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--listen %q: %w; %w", address, err, ErrAddress)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("--listen %q: %w: whoever reaches it can read everything", address, ErrAddress)
	}
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1" // whatever /etc/hosts says
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--listen %q: %w", address, err)
	}
	return l, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}
