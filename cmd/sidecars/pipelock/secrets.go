package pipelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock/dlp"
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

// credProxy is the name of the component that adds credentials to requests.
const credProxy = contract.CredProxyName

// defaultBodyBytes is the official program's default of request_body_scanning.max_body_bytes.
const defaultBodyBytes = 5 << 20

// secretPolicy is request_body_scanning. As in the official program, it also covers URLs and headers.
type secretPolicy struct {
	detector  *dlp.Detector
	warn      bool
	bodyBytes int64
}

func newSecretPolicy(config *pipelockconf.RequestBodyScanning) (*secretPolicy, error) {
	if config == nil || !config.Enabled {
		return nil, nil //nolint:nilnil // there is none, and nothing failed
	}
	if config.Action != pipelockconf.ActionBlock && config.Action != pipelockconf.ActionWarn {
		return nil, fmt.Errorf("request_body_scanning.action: %q is neither block nor warn", config.Action)
	}
	detector, err := dlp.New()
	if err != nil {
		return nil, err
	}
	p := &secretPolicy{detector: detector, warn: config.Action == pipelockconf.ActionWarn, bodyBytes: defaultBodyBytes}
	if config.MaxBodyBytes > 0 {
		p.bodyBytes = int64(config.MaxBodyBytes)
	}
	return p, nil
}

// stricterThan reports whether p refuses requests that old allows.
func (p *secretPolicy) stricterThan(old *secretPolicy) bool {
	return p != nil && (old == nil || old.warn && !p.warn || p.bodyBytes < old.bodyBytes)
}

// checkURL scans the request line. It comes first, because the secret may be in the host: a DNS query would leak it, and so would a log line
// with the host.
func (p *proxy) checkURL(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	id := x.policy.secrets.detector.FindURL(r.Method, r.RequestURI)
	x.hideTarget = id != ""
	return p.decide(r, x, "URL", id)
}

// checkHeader scans the header, including its names.
func (p *proxy) checkHeader(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	return p.decide(r, x, "header", x.policy.secrets.detector.FindHeader(r.Header))
}

// checkName scans the labels of a host's name that match a wildcard, before the name is resolved: the DNS query would leak them. Hosts that
// are on the allowlist themselves are not scanned.
func (p *proxy) checkName(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	labels, ok := x.policy.allowlist.underWildcard(x.target)
	if !ok {
		return nil
	}
	id := x.policy.secrets.detector.FindName(labels)
	x.hideTarget = x.hideTarget || id != ""
	return p.decide(r, x, "host", id)
}

// decide refuses or warns about a match of the rule id. A credential that cred-proxy has added to a plain HTTP request is not a leak.
func (p *proxy) decide(r *http.Request, x *exchange, where, id string) error {
	if id == "" || r.Method != http.MethodConnect && p.fromCredProxy(r) {
		return nil
	}
	reason := dlp.Reason("request "+where, id)
	if x.policy.secrets.warn {
		x.warned.Store(&reason)
		return nil
	}
	refused := secret(reason)
	if id == dlp.DataInName {
		refused.hint = hintName
	}
	return refused
}

// fromCredProxy reports whether the client is cred-proxy, by its address. Without the capability NET_RAW, the agent can't forge one.
func (p *proxy) fromCredProxy(r *http.Request) bool {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTime)
	defer cancel()
	addrs, err := p.names.LookupNetIP(ctx, "ip", credProxy)
	return err == nil && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == client.Addr().Unmap() })
}

// checkBody refuses a body that is announced to be too large, and returns the cost of scanning it.
func (p *secretPolicy) checkBody(r *http.Request) (cost int64, err error) {
	switch {
	case p == nil || r.Body == http.NoBody:
		return 0, nil
	case r.ContentLength > p.bodyBytes:
		return 0, secret(fmt.Sprintf("request body exceeds max_body_bytes (%d)", p.bodyBytes))
	case len(r.Header.Values("Content-Encoding")) == 0:
		return scanCost, nil
	}
	return scanCost + unzipCost, nil
}

// body scans a body while it is sent.
func (p *secretPolicy) body(x *exchange, r *http.Request, body io.ReadCloser) io.ReadCloser {
	if p == nil {
		return body
	}
	var warn func(error)
	if p.warn {
		warn = func(err error) {
			text := err.Error()
			x.warned.Store(&text)
		}
	}
	encoding := strings.Join(r.Header.Values("Content-Encoding"), ",")
	return &checkedBody{p.detector.Body(body, encoding, p.bodyBytes, warn), x}
}

// checkedBody records why a body was refused, since the response may have begun by then.
type checkedBody struct {
	*dlp.Body
	x *exchange
}

func (b *checkedBody) Read(buf []byte) (int, error) {
	n, err := b.Body.Read(buf)
	var found *dlp.Finding
	var unreadable *dlp.Unreadable
	if errors.As(err, &found) || errors.As(err, &unreadable) {
		refused := secret(err.Error())
		b.x.refused.Store(refused)
		return n, refused
	}
	return n, err
}
