package pipelock

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// absoluteNames resolves names without search domains, which the engine takes from its settings or its host: otherwise the owner of a search
// domain could answer for an allowed host.
type absoluteNames struct{ *net.Resolver }

// LookupNetIP resolves the absolute name.
func (r absoluteNames) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.Resolver.LookupNetIP(ctx, network, strings.TrimSuffix(host, ".")+".")
}
