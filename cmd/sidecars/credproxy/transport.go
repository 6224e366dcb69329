package credproxy

import (
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
)

const (
	dialTimeout      = 10 * time.Second
	tlsTimeout       = 10 * time.Second
	upstreamIdle     = 90 * time.Second
	idlePerUpstream  = 128
	idleUpstream     = 512
	maxUpstreamBytes = 64 << 10 // of response headers
	// What is received and not read is held in memory: of one response, and of all on one HTTP/2 connection.
	streamBuffer = 1 << 20
	// Of a connection of HTTP/1; bodies are read past it.
	headerBuffer     = 2 << 10
	connectionBuffer = 16 << 20
	maxReasonBytes   = 512
	reasonTimeout    = 2 * time.Second
	// An HTTP/2 connection that carries a silent stream is asked whether it still lives.
	http2PingAfter   = 30 * time.Second
	http2PingTimeout = 15 * time.Second
)

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

// newTransport returns a transport that reaches every upstream through pipelock. http.ProxyURL, unlike
// http.ProxyFromEnvironment, has no exemptions: no NO_PROXY, and loopback goes through pipelock too.
func newTransport(pipelock *url.URL, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy:                  http.ProxyURL(pipelock),
		OnProxyConnectResponse: explainRefusal,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: http2PingAfter, PingTimeout: http2PingTimeout,
			MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
		},
		ReadBufferSize:         headerBuffer,
		WriteBufferSize:        headerBuffer,
		MaxIdleConns:           idleUpstream,
		MaxIdleConnsPerHost:    idlePerUpstream,
		IdleConnTimeout:        upstreamIdle,
		MaxResponseHeaderBytes: maxUpstreamBytes,
		DisableCompression:     true, // what is asked for is decided with the other headers
	}
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

// explainRefusal keeps pipelock's reason, which http.Transport would drop with the body.
func explainRefusal(_ context.Context, _ *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &refusal{target: req.Host, status: resp.Status, reason: readReason(resp.Body)}
}

// readReason reads a short text without waiting for a proxy that stalls; the transport closes the
// connection afterwards, which ends the reading.
func readReason(body io.Reader) string {
	read := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(io.LimitReader(body, maxReasonBytes)) // what arrived is reason enough
		read <- string(data)
	}()
	select {
	case text := <-read:
		return oneLine(text)
	case <-time.After(reasonTimeout):
		return ""
	}
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
