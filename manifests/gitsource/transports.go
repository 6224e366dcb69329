package gitsource

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/net/proxy"
)

const maxRefs = 64 << 20 // bytes of the list of references

// web follows redirects of the first request only, and sends credentials to the URL's own origin alone: go-git's policy.
var web = githttp.NewClient(&http.Client{Transport: bounded{http.DefaultTransport}})

// bounded limits what go-git reads into memory. The text of a refusal is not read at all: go-git would quote it, and it may quote
// the credentials.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body := response.Body
	switch {
	case response.StatusCode >= http.StatusBadRequest:
		response.Body = http.NoBody
		return response, body.Close()
	case strings.HasSuffix(request.URL.Path, "/info/refs"):
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, maxRefs), body}
	}
	return response, nil
}

// openSSH connects as go-git does by default, with two differences: it asks the server for a key of a kind that is in known_hosts, and
// the connection ends with the context.
func openSSH(ctx context.Context, endpoint transport.Endpoint) (transport.UploadPackSession, error) {
	auth, err := gitssh.NewSSHAgentAuth(endpoint.User)
	if err != nil {
		return nil, fmt.Errorf("SSH signs in with the keys of ssh-agent: %w", err)
	}
	known, err := gitssh.NewKnownHostsDb()
	if err != nil {
		return nil, err
	}
	port := gitssh.DefaultPort
	if endpoint.Port > 0 {
		port = endpoint.Port
	}
	auth.HostKeyCallback = known.HostKeyCallback()
	auth.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(endpoint.Host, strconv.Itoa(port)))
	if until, limited := ctx.Deadline(); limited {
		endpoint.Proxy.URL = fmt.Sprintf("%s://%d", untilScheme, until.UnixNano())
	}
	return await(ctx, func() (transport.UploadPackSession, error) {
		return gitssh.DefaultClient.NewUploadPackSession(&endpoint, auth)
	})
}

// go-git opens SSH connections without a context or a timeout. It lets one name a proxy, though, and so a dialer: this one makes
// connections that end a second after the time which is the proxy's name (nanoseconds since 1970), when the pull has ended by itself.
const untilScheme = "bottled-until"

func init() {
	proxy.RegisterDialerType(untilScheme, func(u *url.URL, _ proxy.Dialer) (proxy.Dialer, error) {
		nanoseconds, err := strconv.ParseInt(u.Host, 10, 64)
		return untilDialer{time.Unix(0, nanoseconds).Add(time.Second)}, err
	})
}

type untilDialer struct{ until time.Time }

// Dial is there for the interface.
func (d untilDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects, through the proxy that the environment names, if any.
func (d untilDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, d.until)
	defer cancel()
	conn, err := proxy.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(d.until); err != nil {
		_ = conn.Close() // the other error tells more
		return nil, err
	}
	return conn, nil
}
