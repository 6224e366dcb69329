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

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/coding"
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
	detector   *dlp.Detector
	exceptions []exception
	warn       bool
	bodyBytes  int64
}

func newSecretPolicy(config *pipelockconf.RequestBodyScanning, suppress []pipelockconf.Suppress) (*secretPolicy, error) {
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
		p.bodyBytes = config.MaxBodyBytes
	}
	p.exceptions, err = newExceptions(suppress, detector)
	return p, err
}

// detectorFor returns the detector for an exchange.
func (p *secretPolicy) detectorFor(x *exchange) *dlp.Detector {
	if x.exception != nil {
		return x.exception.detector
	}
	return p.detector
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
	x.exception = x.policy.secrets.exceptionFor(r)
	id := x.policy.secrets.detectorFor(x).FindURL(r.Method, r.RequestURI)
	x.hideTarget = id != ""
	return p.decide(r, x, "URL", id)
}

// checkHeader scans the header, including its names.
func (p *proxy) checkHeader(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	if x.target.host == credProxy {
		x.path = r.URL.EscapedPath()
	}
	return p.decide(r, x, "header", x.policy.secrets.detectorFor(x).FindHeader(r.Header))
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
	t, _ := absoluteTarget(r.URL) // in a URL, something is found before its target is known
	return x.found("request "+where, id, t)
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

// checkBody refuses a body that is announced to be too large, or in a coding that can't be undone, and returns the cost of scanning it. What
// undoing a coding takes is reserved when it begins.
func (p *secretPolicy) checkBody(r *http.Request) (cost int64, err error) {
	if p == nil || r.Body == http.NoBody {
		return 0, nil
	}
	if r.ContentLength > p.bodyBytes {
		return 0, unscannable(http.StatusRequestEntityTooLarge, fmt.Sprintf("request body exceeds max_body_bytes (%d)", p.bodyBytes))
	}
	if _, err := coding.Parse(contentEncoding(r)); err != nil && !p.warn {
		return 0, unscannable(http.StatusUnsupportedMediaType, "request body has a "+err.Error())
	}
	return scanCost, nil
}

func contentEncoding(r *http.Request) string {
	return strings.Join(r.Header.Values("Content-Encoding"), ",")
}

// scan scans a body while it is sent.
func (p *proxy) scan(x *exchange, r *http.Request, body io.ReadCloser) io.ReadCloser {
	s := x.policy.secrets
	if s == nil {
		return body
	}
	var warn func(error)
	if s.warn {
		warn = func(err error) {
			text := err.Error()
			x.warned.Store(&text)
		}
	}
	reserve := func(bytes int64) (func(), error) { return p.reserve(x.revoked, bytes) }
	return &checkedBody{s.detectorFor(x).Body(body, contentEncoding(r), s.bodyBytes, warn, reserve), x}
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
	var refused *refusal // for want of memory
	switch {
	case errors.As(err, &found):
		refused = b.x.found("request body", found.Rule, b.x.target)
	case errors.As(err, &unreadable) && unreadable.TooLarge:
		refused = unscannable(http.StatusRequestEntityTooLarge, err.Error())
	case errors.As(err, &unreadable):
		refused = unscannable(http.StatusForbidden, err.Error())
	case !errors.As(err, &refused):
		return n, err
	}
	b.x.refused.CompareAndSwap(nil, refused)
	return n, refused
}
