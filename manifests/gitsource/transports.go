package gitsource

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/net/proxy"
)

const (
	maxRefs   = 64 << 20 // bytes of the list of references
	maxAnswer = 64 << 10 // bytes of an error response: many times what is quoted of it
)

// go-git takes its clients from global variables.
func init() {
	// It follows redirects of the first request only, and sends credentials to the URL's own origin alone: go-git's policy.
	web := githttp.NewClient(&http.Client{Transport: limitedTransport{http.DefaultTransport}})
	client.InstallProtocol("http", web)
	client.InstallProtocol("https", web)
	// go-git leaves out multi_ack, since it can't negotiate a common base; but some servers (Azure DevOps) insist on it, and without
	// a base there is nothing to negotiate.
	transport.UnsupportedCapabilities = []capability.Capability{capability.ThinPack}
	proxy.RegisterDialerType(dialerScheme, newContextDialer)
}

// newServer prepares requests to a server, until ctx ends.
func newServer(ctx context.Context, a address, token string) (server, error) {
	switch {
	case !a.isHTTP():
		auth, err := sshAuth(ctx, a.endpoint)
		return server{a.url, auth, dialWith(ctx)}, err
	case token == "":
		return server{url: a.url}, nil
	}
	return server{url: a.url, auth: &githttp.BasicAuth{Username: tokenUser, Password: token}}, nil
}

// limitedTransport limits what go-git reads into memory. Error pages are dropped; a plain text may be the server's explanation, and what
// quotes it must clean it first, since it may quote the credentials.
type limitedTransport struct{ next http.RoundTripper }

func (l limitedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body := response.Body
	switch {
	case response.StatusCode >= http.StatusBadRequest && !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"):
		response.Body = http.NoBody
		return response, body.Close()
	case response.StatusCode >= http.StatusBadRequest:
		response.Body = limited(body, maxAnswer)
	case strings.HasSuffix(request.URL.Path, "/info/refs"):
		response.Body = limited(body, maxRefs)
	}
	return response, nil
}

func limited(body io.ReadCloser, most int64) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, most), body}
}

// sshAuth signs in with the keys of ssh-agent. Unlike go-git's default, it ends with the context, and asks the server for a host key
// of a kind that is in known_hosts.
func sshAuth(ctx context.Context, endpoint transport.Endpoint) (transport.AuthMethod, error) {
	known, err := gitssh.NewKnownHostsDb()
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		return nil, fmt.Errorf("SSH signs in with the keys of ssh-agent, and SSH_AUTH_SOCK leads to none: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	auth := &gitssh.PublicKeysCallback{User: endpoint.User, Callback: agent.NewClient(conn).Signers}
	if auth.User == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("no user is named in the URL: %w", err)
		}
		auth.User = u.Username
	}
	port := gitssh.DefaultPort
	if endpoint.Port > 0 {
		port = endpoint.Port
	}
	auth.HostKeyCallback = known.HostKeyCallback()
	auth.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(endpoint.Host, strconv.Itoa(port)))
	return auth, nil
}

// go-git opens SSH connections without a context or a timeout. But it lets one name a proxy, and so a dialer: this one's host is the
// number of a context, at whose end the connection is closed.
const dialerScheme = "bottled-context"

var (
	dialContexts sync.Map // by number, as text
	dialNumber   atomic.Uint64
)

func dialWith(ctx context.Context) transport.ProxyOptions {
	number := strconv.FormatUint(dialNumber.Add(1), 10)
	dialContexts.Store(number, ctx)
	context.AfterFunc(ctx, func() { dialContexts.Delete(number) })
	return transport.ProxyOptions{URL: dialerScheme + "://" + number}
}

type contextDialer struct{ ctx context.Context }

func newContextDialer(u *url.URL, _ proxy.Dialer) (proxy.Dialer, error) {
	value, _ := dialContexts.Load(u.Host)
	ctx, found := value.(context.Context)
	if !found {
		return nil, fmt.Errorf("%s is not in use", u)
	}
	return contextDialer{ctx}, nil
}

// Dial connects, through the proxy that the environment names, if any.
func (d contextDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := proxy.Dial(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	return conn, nil
}

// DialContext is Dial: the context that go-git gives never ends.
func (d contextDialer) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	return d.Dial(network, address)
}
