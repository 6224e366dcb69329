package pipelock

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/bot-bottle/bottled/state/audit"
)

const (
	helloTime  = 10 * time.Second // to send a ClientHello
	helloBytes = 64 << 10         // of it, with its records; with post-quantum keys it has some 2 KB
)

// accessDenied is a TLS alert, which clients report as an access denial.
var accessDenied = []byte{21, 3, 1, 0, 2, 2, 49}

// hello is a TLS ClientHello.
type hello struct {
	name string // server name in lower case; "" for none
	raw  []byte // all bytes that were read
}

// readHello reads a ClientHello, which can span several records and segments. crypto/tls parses it: what that refuses (two server names, a
// record that is too long) is refused here.
func readHello(client net.Conn, counted *countedHello) (hello, error) {
	h, err := parseHello(counted)
	if counted.over {
		return hello{}, &refusal{code: audit.CodeOverload, reason: "too many long TLS ClientHellos at once"}
	}
	if err != nil {
		return hello{}, err
	}
	return h, client.SetReadDeadline(time.Time{})
}

// countedHello charges a long ClientHello to the budget. It is in memory until the upstream has received it.
type countedHello struct {
	io.Reader
	budget *semaphore.Weighted
	read   int64
	taken  int64
	over   bool
}

// Read implements io.Reader.
func (c *countedHello) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.read += int64(n)
	if more := helloByteCosts*(c.read-helloFree) - c.taken; more > 0 {
		if !c.budget.TryAcquire(more) {
			c.over = true
			return 0, io.ErrShortBuffer
		}
		c.taken += more
	}
	return n, err
}

func (c *countedHello) release() {
	if c.taken > 0 {
		c.budget.Release(c.taken)
	}
}

// errSeen ends the handshake after the ClientHello.
var errSeen = errors.New("the ClientHello was seen")

func parseHello(r io.Reader) (hello, error) {
	var h hello
	var raw bytes.Buffer
	seen := func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		h.name = strings.ToLower(info.ServerName)
		return nil, errSeen
	}
	in := io.TeeReader(io.LimitReader(r, helloBytes), &raw)
	err := tls.Server(readOnly{in}, &tls.Config{GetConfigForClient: seen}).HandshakeContext(context.Background())
	if !errors.Is(err, errSeen) {
		return hello{}, errors.New("what the client sent through the tunnel is neither a TLS ClientHello nor an HTTP request")
	}
	h.raw = raw.Bytes()
	return h, nil
}

// check refuses a ClientHello for another server than CONNECT named: on a shared address, the client would reach that one. The error does
// not quote the name, which is the client's text.
func (h hello) check(t target) error {
	switch {
	case t.addr.IsValid() && h.name == "": // addresses are no server names (RFC 6066, section 3)
		return nil
	case h.name == "":
		return &refusal{code: audit.CodeServerName, reason: "the TLS ClientHello has no server name"}
	case h.name != t.host:
		return &refusal{code: audit.CodeServerName, reason: "the TLS server name is not the host of CONNECT"}
	}
	return nil
}

// readOnly is a connection that discards what is written to it.
type readOnly struct{ io.Reader }

func (readOnly) Write(p []byte) (int, error)      { return len(p), nil }
func (readOnly) Close() error                     { return nil }
func (readOnly) LocalAddr() net.Addr              { return nil }
func (readOnly) RemoteAddr() net.Addr             { return nil }
func (readOnly) SetDeadline(time.Time) error      { return nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }
