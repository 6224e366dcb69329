package pipelock

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/bot-bottle/bottled/state/audit"
)

// exchanges are the exchanges in progress. A reload ends those that the new policy does not allow.
type exchanges struct {
	mu   sync.Mutex // also guards changes of the policy
	open map[*exchange]struct{}
}

// grant is what an exchange was allowed. A later policy may revoke it.
type grant struct {
	given     bool
	tunnel    bool
	connected netip.Addr // the upstream's; invalid before the connection
}

// begin registers an exchange under the current policy.
func (p *proxy) begin(x *exchange) {
	x.revoked, x.cancel = context.WithCancelCause(context.Background())
	p.exchanges.mu.Lock()
	defer p.exchanges.mu.Unlock()
	x.policy = p.policy.Load()
	p.exchanges.open[x] = struct{}{}
}

// end unregisters an exchange. It closes idle upstream connections of an older policy, which nobody will use again.
func (p *proxy) end(x *exchange) {
	p.exchanges.mu.Lock()
	delete(p.exchanges.open, x)
	p.exchanges.mu.Unlock()
	x.cancel(nil)
	if x.policy != p.policy.Load() {
		x.policy.transport.CloseIdleConnections()
	}
}

// admit checks the host's name and port against the current policy.
func (p *proxy) admit(x *exchange, tunnel bool) error {
	p.exchanges.mu.Lock()
	defer p.exchanges.mu.Unlock()
	if err := p.policy.Load().checkHost(x.target, tunnel); err != nil {
		return err
	}
	x.grant.given, x.grant.tunnel = true, tunnel
	return nil
}

// connected records the address of the exchange's upstream connection, and checks it, as the policy may have changed while dialing.
func (p *proxy) connected(x *exchange, addr net.Addr) error {
	x.address = addr.String()
	to, err := netip.ParseAddrPort(x.address)
	if err != nil {
		return err
	}
	p.exchanges.mu.Lock()
	defer p.exchanges.mu.Unlock()
	x.grant.connected = to.Addr().Unmap()
	return p.policy.Load().review(x)
}

// replace applies a policy and revokes the exchanges that it does not allow.
func (p *proxy) replace(next *policy) {
	p.exchanges.mu.Lock()
	old := p.policy.Swap(next)
	for x := range p.exchanges.open {
		if err := next.review(x); err != nil {
			x.revoke(err)
		}
	}
	p.exchanges.mu.Unlock()
	if old != nil {
		old.transport.CloseIdleConnections()
	}
}

// review returns an error if an exchange that began under another policy is not allowed under this one.
func (p *policy) review(x *exchange) error {
	if p.secrets.stricterThan(x.policy.secrets) && (!x.grant.tunnel || x.warned.Load() != nil) {
		return &refusal{status: http.StatusForbidden, code: audit.CodeRevoked, reason: "request_body_scanning became stricter"}
	}
	if !x.grant.given {
		return nil
	}
	if !p.secrets.allows(x.exception) {
		return &refusal{status: http.StatusForbidden, code: audit.CodeRevoked, reason: "an exception from a rule of request_body_scanning was removed"}
	}
	if err := p.checkHost(x.target, x.grant.tunnel); err != nil || !x.grant.connected.IsValid() {
		return err
	}
	return p.checkAddress(x.target, x.grant.connected)
}

// revoke ends an exchange in progress, whatever it waits for.
func (x *exchange) revoke(why error) {
	revoked := refusal{status: http.StatusForbidden, code: audit.CodeRevoked, reason: "revoked: " + why.Error()}
	x.refused.CompareAndSwap(nil, &revoked)
	x.cancel(&revoked)
}
