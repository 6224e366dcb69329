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

// credProxy is the bottle's own name of the part that adds credentials to requests.
const credProxy = contract.CredProxyName

// defaultBodyBytes is what the official program takes for request_body_scanning.max_body_bytes.
const defaultBodyBytes = 5 << 20

// secretPolicy is request_body_scanning. As in the official program it is about URLs and headers, too.
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

// stricterThan tells whether something passes under old that does not pass under p.
func (p *secretPolicy) stricterThan(old *secretPolicy) bool {
	return p != nil && (old == nil || old.warn && !p.warn || p.bodyBytes < old.bodyBytes)
}

// checkURL looks at the request line. It comes before anything else, for the host may be where the secret
// is: a question to DNS would carry it out, and what names the host would tell it.
func (p *proxy) checkURL(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	id := x.policy.secrets.detector.FindURL(r.Method, r.RequestURI)
	x.hideTarget = id != ""
	return p.decide(r, x, "URL", id)
}

// checkHeader looks at the header, names and all.
func (p *proxy) checkHeader(r *http.Request, x *exchange) error {
	if x.policy.secrets == nil {
		return nil
	}
	return p.decide(r, x, "header", x.policy.secrets.detector.FindHeader(r.Header))
}

// checkName looks at the part of a host's name that a wildcard leaves open, before anybody is asked for its address: the
// question alone would carry out what the name says. Hosts that are on the allowlist themselves are not judged.
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

// decide is about what the rule id has found. What cred-proxy has added, on its way to an upstream that
// speaks plain HTTP, is no leak.
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

// fromCredProxy tells whether the client is cred-proxy, by its address. The agent, without the capability
// NET_RAW, can't have another one than its own.
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

// checkBody refuses a body that could be refused only when most of it has gone, and returns what looking into it costs.
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

// body looks into a body on its way.
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

// checkedBody notes why a body was refused: an answer may be under way by then.
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
