package pipelock

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// absoluteNames resolves each name as it is. Search domains, which the engine takes from its own settings or from its host, would let
// whoever owns such a domain answer for an allowed host.
type absoluteNames struct{ *net.Resolver }

// LookupNetIP resolves the absolute name.
func (r absoluteNames) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.Resolver.LookupNetIP(ctx, network, strings.TrimSuffix(host, ".")+".")
}
