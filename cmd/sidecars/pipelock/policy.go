package pipelock

import (
	"cmp"
	"context"
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

// What the official program takes for bounds that the file leaves out.
const (
	defaultTunnelSeconds   = 300
	defaultIdleSeconds     = 120
	defaultExchangeSeconds = 30
	defaultURLBytes        = 2048
)

// policy is one configuration, ready for use. It never changes: a reload makes a new one, and what began under the old
// one ends under it, or when the new one does not allow it (see underway).
type policy struct {
	allowlist allowlist
	ranges    []netip.Prefix // ssrf.ip_allowlist
	internal  netip.Prefix   // the bottle's internal network: for its own names, and for no other, whatever ranges has
	explain   bool           // whether a refusal says what to do about it

	tunnelTime   time.Duration // a tunnel, in all
	exchangeTime time.Duration // a plain HTTP exchange, in all
	idleTime     time.Duration // either, without a byte in either direction
	urlBytes     int
	secrets      *secretPolicy // nil: nothing is looked into

	// transport keeps connections that this policy's ranges have let through, so it can't outlive them.
	transport *http.Transport
}

func newPolicy(data []byte, internal netip.Prefix, dial dialFunc) (*policy, error) {
	config, err := pipelockconf.Parse(data)
	if err != nil {
		return nil, err
	}
	if err := config.Unsupported(); err != nil {
		return nil, err
	}
	p := &policy{
		internal:     internal,
		explain:      config.ExplainBlocks != nil && *config.ExplainBlocks,
		tunnelTime:   seconds(config.ForwardProxy.MaxTunnelSeconds, defaultTunnelSeconds),
		idleTime:     seconds(config.ForwardProxy.IdleTimeoutSeconds, defaultIdleSeconds),
		exchangeTime: seconds(config.FetchProxy.TimeoutSeconds, defaultExchangeSeconds),
		urlBytes:     cmp.Or(max(config.FetchProxy.Monitoring.MaxURLLength, 0), defaultURLBytes),
	}
	if p.allowlist, err = newAllowlist(config.APIAllowlist); err != nil {
		return nil, err
	}
	if p.ranges, err = config.Ranges(); err != nil {
		return nil, err
	}
	if p.secrets, err = newSecretPolicy(config.RequestBodyScanning); err != nil {
		return nil, err
	}
	p.transport = newTransport(p, dial)
	return p, nil
}

// seconds treats what isn't positive as left out, as the official program does.
func seconds(n, fallback int) time.Duration {
	return time.Duration(min(cmp.Or(max(n, 0), fallback), math.MaxInt32)) * time.Second
}

// checkHost decides by the name and the port alone, before anything is asked about them outside.
func (p *policy) checkHost(t target, tunnel bool) error {
	switch known, open := p.allowlist.allows(t, tunnel); {
	case !known:
		return notAllowlisted(t.host)
	case !open:
		return closedPort(t)
	}
	return nil
}

// checkAddresses refuses the host when even one of its addresses is refused, as the official program
// does: a name that mixes public and private addresses is an attack or a mistake.
func (p *policy) checkAddresses(t target, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return &net.DNSError{Err: "no address", Name: t.host, IsNotFound: true}
	}
	for _, addr := range addrs {
		if err := p.checkAddress(t, addr); err != nil {
			return err
		}
	}
	return nil
}

// checkAddress keeps the bottle's own names and its internal network together: a name of somebody else's that leads to
// cred-proxy, or an own name that leads elsewhere, is an attack on whoever believes the name.
func (p *policy) checkAddress(t target, addr netip.Addr) error {
	own, inside := pipelockconf.IsOwnName(t.host), p.internal.Contains(addr)
	switch {
	case own && inside:
		return nil
	case own:
		return blockedAddress("%s resolves to %s, which is outside of the bottle's internal network", t.host, addr)
	case inside:
		return blockedAddress("%s resolves to %s, which is in the bottle's internal network", t.host, addr)
	}
	if class := p.classify(addr); class != public {
		return ssrf("%s resolves to internal IP %s (%s)", t.host, addr, class)
	}
	return nil
}

// classify counts what ssrf.ip_allowlist has as public.
func (p *policy) classify(addr netip.Addr) addressClass {
	for _, r := range p.ranges {
		if r.Contains(addr) {
			return public
		}
	}
	return classify(addr)
}

// dialFunc connects to t if p lets it.
type dialFunc func(ctx context.Context, p *policy, t target) (halfCloser, error)
