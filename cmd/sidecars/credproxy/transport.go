package credproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
)

const (
	dialTimeout      = 10 * time.Second
	connectTimeout   = time.Minute
	tlsTimeout       = 10 * time.Second
	upstreamIdle     = 90 * time.Second
	idlePerUpstream  = 128
	idleUpstream     = 512
	maxUpstreamBytes = 64 << 10 // of response headers
	// What is received and not read is held in memory: of one response, and of all on one HTTP/2 connection. Responses that
	// are not read are bounded by stallMemory, and must not hold up the others on the connection.
	streamBuffer     = 256 << 10
	connectionBuffer = 64 << 20
	maxReasonBytes   = 512
	reasonTimeout    = 2 * time.Second
	// An HTTP/2 connection that carries a silent stream is asked whether it still lives.
	http2PingAfter   = 30 * time.Second
	http2PingTimeout = 15 * time.Second
)

// longAgo is the deadline of what is to end now.
var longAgo = time.Unix(1, 0)

// proxyFromEnvironment returns the proxy through which everything goes out. There is no way without one.
func proxyFromEnvironment(getenv func(string) string) (*url.URL, error) {
	value := getenv("HTTPS_PROXY")
	if value == "" {
		value = getenv("https_proxy")
	}
	if value == "" {
		return nil, errors.New("cred-proxy: HTTPS_PROXY is not set; it must name pipelock (http://pipelock:8888), the only way out")
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("cred-proxy: HTTPS_PROXY must be a URL like http://pipelock:8888")
	}
	return u, nil
}

// newTransport returns the transport of requests over HTTP/2. It has no way out but dial.
func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialTLSContext:    dial,
		ForceAttemptHTTP2: true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: http2PingAfter, PingTimeout: http2PingTimeout,
			MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
		},
		MaxIdleConns:           idleUpstream,
		MaxIdleConnsPerHost:    idlePerUpstream,
		IdleConnTimeout:        upstreamIdle,
		MaxResponseHeaderBytes: maxUpstreamBytes,
		DisableCompression:     true, // what is asked for is decided with the other headers
	}
}

// dialer reaches upstreams through pipelock. Nothing is exempt, loopback neither.
type dialer struct {
	pipelock string // host:port
	tls      *tls.Config
	idle     http1.IdleLimit // of all routes
}

func newDialer(pipelock *url.URL, roots *x509.CertPool) *dialer {
	return &dialer{
		pipelock: net.JoinHostPort(pipelock.Hostname(), portOf(pipelock)),
		tls:      &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		idle:     http1.IdleLimit{Max: idleUpstream},
	}
}

// plain returns a connection to pipelock, for requests in absolute form.
func (d *dialer) plain(ctx context.Context) (*net.TCPConn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", d.pipelock)
	if err != nil {
		return nil, fmt.Errorf("pipelock can't be reached: %w", err)
	}
	return conn.(*net.TCPConn), nil //nolint:forcetypeassert // the network is tcp
}

// secure returns a TLS connection to an upstream, host:port, through a tunnel. The connection below it is what track
// returns.
func (d *dialer) secure(ctx context.Context, address string, track func(*net.TCPConn) (net.Conn, error)) (*tls.Conn, error) {
	plain, err := d.plain(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := track(plain)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) }) // fails on one that has ended
	defer stop()
	if err := connect(conn, address); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	config := d.tls.Clone()
	config.ServerName, _, err = net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secured := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// connect asks pipelock for a tunnel.
func connect(conn net.Conn, address string) error {
	if err := conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", address); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxUpstreamBytes))
	resp, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("pipelock's answer to CONNECT: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &refusal{target: address, status: resp.Status, reason: readReason(conn, resp.Body)}
	}
	if reader.Buffered() > 0 {
		return fmt.Errorf("the other end of the tunnel to %s speaks first", address)
	}
	return conn.SetDeadline(time.Time{})
}

// refusal is pipelock's answer to a CONNECT that it does not allow.
type refusal struct {
	target string // host:port
	status string
	reason string // pipelock's own words; may be empty
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("pipelock refused the connection to %s: %s", r.target, r.status)
	if r.reason != "" {
		text += ": " + r.reason
	}
	return text
}

// readReason reads a short text without waiting for a proxy that stalls.
func readReason(conn net.Conn, body io.Reader) string {
	if err := conn.SetDeadline(time.Now().Add(reasonTimeout)); err != nil {
		return ""
	}
	data, _ := io.ReadAll(io.LimitReader(body, maxReasonBytes)) // what arrived is reason enough
	return oneLine(string(data))
}

// oneLine makes text from outside fit for an error message.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
