package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerListener is a listener on a unix socket whose connections know the user at the other end.
type peerListener struct{ net.Listener }

// Accept waits for the next connection. Its RemoteAddr is a peer, which gets through wrappers of connections.
func (l peerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	uid, err := peerUser(conn)
	return peerConn{conn, peer{conn.RemoteAddr(), uid, err}}, nil
}

type peerConn struct {
	net.Conn
	peer peer
}

// RemoteAddr is the peer.
func (c peerConn) RemoteAddr() net.Addr { return c.peer }

// peer is the other end of a connection to a unix socket.
type peer struct {
	net.Addr
	uid uint32
	err error // why uid is not known
}

// peerUser returns the user who has connected to a unix socket, as the kernel knows it (SO_PEERCRED in unix(7)).
func peerUser(conn net.Conn) (uint32, error) {
	c, is := conn.(*net.UnixConn)
	if !is {
		return 0, fmt.Errorf("a connection of kind %T has no credentials", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("credentials of the client: %w", err)
	}
	return credentials.Uid, nil
}

type peerKey struct{}

// withPeer adds a connection's peer to the context of its requests.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, conn.RemoteAddr())
}

// unixUser returns the name of the user who sends a request to the unix socket, or the number of one without a name.
func unixUser(r *http.Request) (string, error) {
	p, known := r.Context().Value(peerKey{}).(peer)
	if !known || p.err != nil {
		return "", &identityError{code: http.StatusForbidden, text: fmt.Sprintf("the user at the other end of the socket is not known: %v", p.err)}
	}
	uid := strconv.FormatUint(uint64(p.uid), 10)
	found, err := user.LookupId(uid)
	if err != nil {
		return "uid " + uid, nil //nolint:nilerr // it has no name, or none that can be read now
	}
	return found.Username, nil
}
