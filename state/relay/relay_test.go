package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is a host, a relay, and a server in the bottle.
type world struct {
	t     testing.TB
	dir   string
	host  *Host
	agent net.Listener
	// stop ends the relay.
	stop func()
}

func newWorld(t testing.TB, serve func(net.Conn)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), stop: func() {}}
	var err error
	if w.host, err = Listen(w.dir); err != nil {
		t.Fatal(err)
	}
	if w.agent, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.stop()
		_, _ = w.host.Close(), w.agent.Close()
	})
	go func() {
		for {
			conn, err := w.agent.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return w
}

// relay starts the relay. The agent is at agent:1; nothing listens at agent:2, and the rest does not exist.
func (w *world) relay() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Serve(ctx, w.dir, w.dial)
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
}

func (w *world) dial(ctx context.Context, target string) (net.Conn, error) {
	switch target {
	case "agent:1":
		return (&net.Dialer{}).DialContext(ctx, "tcp", w.agent.Addr().String())
	case "agent:2":
		return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1")
	case "agent:3":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, &net.DNSError{Err: "no such host", Name: target, IsNotFound: true}
}

// connect connects to the agent.
func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := w.host.Dial(w.t.Context(), "agent:1")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echo repeats what it is told, to the end.
func echo(conn net.Conn) {
	defer conn.Close()
	_, _ = io.Copy(conn, conn)
}

// reverse answers when the client has ended: only a half-closed connection has an answer.
func reverse(conn net.Conn) {
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err == nil {
		_, _ = fmt.Fprintf(conn, "%d bytes", len(text))
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reverse)
	w.relay()
	conn := w.connect()
	sent := bytes.Repeat([]byte("x"), 1<<20)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := closeWrite(conn); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "1048576 bytes" {
		t.Errorf("%q, %v", got, err)
	}
}

// An agent that is gone ends its client's connection, though it may have been silent since. That it was reset does not get through the
// unix socket: the client sees an end.
func TestAgentResets(t *testing.T) {
	w := newWorld(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("some"))
		_, _ = conn.Read(make([]byte, 1))
		Abort(conn)
	})
	w.relay()
	client, server := tcpPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Splice(t.Context(), server, w.connect())
	}()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "some" {
		t.Errorf("%q, %v", got, err)
	}
	_ = client.Close()
	<-done
}

// A client that is gone ends the agent's connection, also when the agent is silent.
func TestClientResets(t *testing.T) {
	ended := make(chan error, 1)
	w := newWorld(t, func(conn net.Conn) {
		defer conn.Close()
		_, err := io.ReadAll(conn)
		ended <- err
	})
	w.relay()
	client, server := tcpPair(t)
	agent := w.connect()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Splice(t.Context(), server, agent)
	}()
	Abort(client)
	<-done
	<-ended
}

func TestReasons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	w.relay()
	for target, want := range map[string]error{"agent:2": ErrRefused, "agent:3": ErrTimeout, "other:1": ErrNoHost, strings.Repeat("x", maxTarget+1): nil} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		conn, err := w.host.Dial(ctx, target)
		cancel()
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%.10s: %v, want %v", target, err, want)
		}
	}
}

// A thousand clients at once, each of which gets its own bytes and nobody else's.
func TestThousandClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	w.relay()
	var all, connected sync.WaitGroup
	connected.Add(1000)
	for i := range 1000 {
		all.Go(func() {
			conn, err := w.host.Dial(t.Context(), "agent:1")
			connected.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			connected.Wait() // all are open
			want := strings.Repeat(fmt.Sprint(i, ","), 1000)
			go func() {
				_, _ = io.WriteString(conn, want)
				_ = closeWrite(conn)
			}()
			if got, err := io.ReadAll(conn); err != nil || string(got) != want {
				t.Errorf("client %d: %d bytes of %d, %v", i, len(got), len(want), err)
			}
		})
	}
	all.Wait()
}

// A client that does not read stops its own agent's connection, and no other.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	w.relay()
	slow := w.connect()
	if err := slow.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	written, err := io.Copy(slow, endless{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(written, err)
	}
	if written > 64<<20 {
		t.Errorf("%d bytes are held for a client that does not read", written)
	}
	conn := w.connect()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Error("another client:", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Host and relay may begin and end in any order, and any number of times.
func TestEitherSideComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	try := func(what string) {
		t.Helper()
		conn, err := w.host.Dial(t.Context(), "agent:1")
		if err != nil {
			t.Fatal(what, err)
		}
		_ = conn.Close()
	}
	w.relay()
	try("the host first:")
	for range 3 * maxSpares / spares { // so that the spare connections of relays that are gone would be all there are
		w.stop()
		w.relay()
		w.awaitSpares()
	}
	try("after many relays:")
	if err := w.host.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(w.dir, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket is left:", err)
	}
	var err error
	if w.host, err = Listen(w.dir); err != nil {
		t.Fatal(err)
	}
	try("after another host:")
	// A host that was killed leaves its socket.
	left := w.host
	if w.host, err = Listen(w.dir); err != nil {
		t.Fatal(err)
	}
	if left.IsBound() || !w.host.IsBound() {
		t.Error("the socket is not the new host's")
	}
	if err := left.Close(); err != nil || !w.host.IsBound() {
		t.Error("the old host removed the new one's socket", err)
	}
	w.stop()
	w.relay()
	try("after a host that left its socket:")
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	if w.host.IsBound() {
		t.Error("it is bound in a directory that is gone")
	}
}

func (w *world) awaitSpares() {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(w.host.spare) == 0; {
		if time.Now().After(deadline) {
			w.t.Fatal("no relay connects")
		}
		<-time.After(time.Millisecond)
	}
}

func TestNoRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	if _, err := w.host.Dial(t.Context(), "agent:1"); !errors.Is(err, ErrNoRelay) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the client left"))
	if _, err := w.host.Dial(ctx, "agent:1"); err == nil || err.Error() != "the client left" {
		t.Error(err)
	}
}

// A relay that was taken over answers nothing, everything, or more than it is asked.
func TestHostileRelay(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(net.Conn){
		"unknown answer": func(c net.Conn) { _, _ = c.Write([]byte{200, 27, '[', '2', 'J'}) },
		"gone":           func(c net.Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, echo)
			for range 3 * maxSpares {
				conn, err := net.Dial("unix", filepath.Join(w.dir, SocketName))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				behave(conn)
			}
			w.awaitSpares()
			conn, err := w.host.Dial(t.Context(), "agent:1")
			if err == nil {
				t.Fatal("connected to", conn.RemoteAddr())
			}
			if strings.ContainsRune(err.Error(), 27) {
				t.Errorf("its words are in the error: %q", err)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, echo)
		conn, err := net.Dial("unix", filepath.Join(w.dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := w.host.Dial(ctx, "agent:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// Something else in the place of the directory or the socket is no way to the files of the host.
func TestLinksAreNotFollowed(t *testing.T) {
	real, dir := t.TempDir(), t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if h, err := Listen(link); err == nil {
		t.Error("it listens behind a link:", h.Close())
	}
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(real, SocketName)); err != nil {
		t.Fatal(err)
	}
	h, err := Listen(real)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if info, err := os.Lstat(victim); err != nil || info.Mode() != 0o600 || !h.IsBound() {
		t.Error("the link was followed:", info, err)
	}
}

// The kernel allows 107 bytes for the path of a socket.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 150))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := Listen(dir)
	if err != nil || !h.IsBound() {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

// Throughput through both ends, beside the bare sockets it is made of.
func BenchmarkRelay(b *testing.B) {
	for _, through := range []bool{false, true} {
		b.Run(map[bool]string{false: "bare", true: "relay"}[through], func(b *testing.B) {
			w := newWorld(b, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
			w.relay()
			conn, err := w.dial(context.Background(), "agent:1")
			if through {
				conn, err = w.host.Dial(context.Background(), "agent:1")
			}
			if err != nil {
				b.Fatal(err)
			}
			chunk := make([]byte, 64<<10)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if _, err := conn.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			_ = conn.Close()
		})
	}
}
