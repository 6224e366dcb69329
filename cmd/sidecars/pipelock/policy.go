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

// Defaults of the official program for limits that the file does not set.
const (
	defaultTunnelSeconds   = 300
	defaultIdleSeconds     = 120
	defaultExchangeSeconds = 30
	defaultURLBytes        = 2048
)

// policy is a parsed configuration. It is immutable: a reload makes a new one. An exchange keeps the policy that it began under, and is
// revoked if a new one does not allow it (see exchanges).
type policy struct {
	allowlist allowlist
	ranges    []netip.Prefix // ssrf.ip_allowlist
	internal  netip.Prefix   // the bottle's internal network: only its own names may resolve to it, whatever ranges says
	explain   bool           // refusals have a hint

	tunnelTime   time.Duration // limit of a tunnel's duration
	exchangeTime time.Duration // limit of a plain HTTP exchange's duration
	idleTime     time.Duration // idle timeout of both
	urlBytes     int
	secrets      *secretPolicy // nil: requests are not scanned

	// transport keeps connections to addresses that this policy allows, so each policy has its own.
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
	if p.secrets, err = newSecretPolicy(config.RequestBodyScanning, config.Suppress); err != nil {
		return nil, err
	}
	p.transport = newTransport(p, dial)
	return p, nil
}

// seconds returns the fallback for values that are not positive, as the official program does.
func seconds(n, fallback int) time.Duration {
	return time.Duration(min(cmp.Or(max(n, 0), fallback), math.MaxInt32)) * time.Second
}

// checkHost checks the name and the port, before the name is resolved.
func (p *policy) checkHost(t target, tunnel bool) error {
	switch known, open := p.allowlist.allows(t, tunnel); {
	case !known:
		return notAllowlisted(t.host)
	case !open:
		return closedPort(t)
	}
	return nil
}

// checkAddresses refuses a host if any of its addresses is refused, as the official program does: a name with both public and private
// addresses is an attack or a mistake.
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

// checkAddress refuses other names that resolve to the bottle's internal network, such as to cred-proxy, and the bottle's own names if they
// resolve elsewhere: both are spoofing. All other addresses must be public.
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

// classify treats addresses in ssrf.ip_allowlist as public.
func (p *policy) classify(addr netip.Addr) addressClass {
	for _, r := range p.ranges {
		if r.Contains(addr) {
			return public
		}
	}
	return classify(addr)
}

// dialFunc connects to t if p allows it.
type dialFunc func(ctx context.Context, p *policy, t target) (halfCloser, error)
