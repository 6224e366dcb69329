package pipelock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	lookupTime = 5 * time.Second
	dialTime   = 10 * time.Second // for all addresses of a host together
)

// resolver resolves names. *net.Resolver implements it.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// halfCloser is a connection that can be half-closed.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// dialer connects to targets. It resolves a name once and dials the addresses that it has checked, so that DNS rebinding has no effect.
type dialer struct {
	resolver resolver
}

func (d dialer) dial(ctx context.Context, p *policy, t target) (halfCloser, error) {
	addrs, err := d.resolve(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := p.checkAddresses(t, addrs); err != nil {
		return nil, err
	}
	return dialFirst(ctx, addrs, t.port)
}

func (d dialer) resolve(ctx context.Context, t target) ([]netip.Addr, error) {
	if t.addr.IsValid() {
		return []netip.Addr{t.addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", t.host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", t.host, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap() // the resolver may write an A record as an IPv4-mapped address
	}
	return addrs, nil
}

// dialFirst tries the addresses one after the other. Each gets an equal share of the remaining time, so that an unreachable one leaves time
// for the others.
func dialFirst(ctx context.Context, addrs []netip.Addr, port uint16) (halfCloser, error) {
	deadline := time.Now().Add(dialTime)
	var errs []error
	for i, addr := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		conn, err := dialOne(ctx, netip.AddrPortFrom(addr, port), share)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func dialOne(ctx context.Context, addr netip.AddrPort, timeout time.Duration) (halfCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(halfCloser)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a %T can't be half-closed", conn), conn.Close())
	}
	return tcp, nil
}

// nowhere is the upstream of a tunnel that has none.
type nowhere struct{ halfCloser }

// Close implements net.Conn.
func (nowhere) Close() error { return nil }
