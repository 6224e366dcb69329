package docker

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// An engine whose socket this user may not use is there: the error says what to do about it.
func TestPermission(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	if err := errors.Join(os.WriteFile(socket, nil, 0o600), os.Chmod(socket, 0o660)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(socket, 0, 1); err != nil { // daemon
			t.Fatal(err)
		}
	}
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	}))
	if err != nil {
		t.Fatal(err)
	}
	err = (&Engine{client: c}).Ping(t.Context())
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("a controller would not wait: %v", err)
	}
	for _, says := range []string{"may not use the docker engine at unix://" + socket, "usermod -aG ", "run bottled as root"} {
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%v, want %q", err, says)
		}
	}
	for path, mode := range map[string]os.FileMode{socket: 0o600, filepath.Join(t.TempDir(), "none"): 0o660} {
		if path == socket {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := permissionError("unix://" + path); strings.Contains(err.Error(), "usermod") {
			t.Errorf("a group that would not help: %v", err)
		}
	}
}

func TestHostWithoutScheme(t *testing.T) {
	t.Setenv("DOCKER_HOST", "/var/run/docker.sock")
	if _, err := New(state.Settings{}); err == nil || !strings.Contains(err.Error(), "write DOCKER_HOST=unix:///var/run/docker.sock") {
		t.Errorf("%v", err)
	}
}
