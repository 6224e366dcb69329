package sidecar

import (
	"context"
	"net"
	"net/netip"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// SubnetFlag adds the flag --internal-subnet of every sidecar.
func SubnetFlag(flags *pflag.FlagSet, subnet *netip.Prefix) {
	flags.TextVar(subnet, "internal-subnet", netip.Prefix{},
		"`range` of the bottle's internal network: only clients in it are served, on an address in it; without it, only loopback")
}

// subnetListener listens on all addresses and admits two kinds of connections: within the bottle's internal subnet, and over loopback (the
// health check). It checks both ends of each connection, because the container's address changes when its network is reconnected, and
// because the kernel accepts packets for any of its addresses on any interface.
type subnetListener struct {
	net.Listener
	subnet  netip.Prefix
	log     zerolog.Logger
	refused logCounter
}

// listen opens the program's listener; nil for none.
func (p *Program) listen(ctx context.Context) (net.Listener, error) {
	if p.Listen == "" {
		return nil, nil //nolint:nilnil // as documented
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // other addresses can join such a connection later
	l, err := config.Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return nil, err
	}
	return &subnetListener{Listener: l, subnet: p.Subnet, log: p.Log}, nil
}

// Accept implements net.Listener.
func (d *subnetListener) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil || d.admits(conn.LocalAddr(), conn.RemoteAddr()) {
			return conn, err
		}
		d.note(conn)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // reset: no state is kept for it
		}
		_ = conn.Close()
	}
}

func (d *subnetListener) admits(local, remote net.Addr) bool {
	here, there := addressOf(local), addressOf(remote)
	return d.subnet.Contains(here) && d.subnet.Contains(there) || here.IsLoopback() && there.IsLoopback()
}

func addressOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

func (d *subnetListener) note(conn net.Conn) {
	if n, due := d.refused.add(); due {
		d.log.Warn().Str("event", "stranger").Str("client", conn.RemoteAddr().String()).Str("local", conn.LocalAddr().String()).
			Int("refused", n).Msg("refused connections from outside of the bottle's internal network")
	}
}
