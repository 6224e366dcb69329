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

// door is a listener on every address that lets only two kinds of connections in: from the bottle's internal subnet to
// an address in it, and over loopback (the health check). Both ends are judged for each connection, since the
// container's address changes when somebody disconnects and connects its network, and since the kernel takes packets to
// any of its addresses on any interface.
type door struct {
	net.Listener
	subnet  netip.Prefix
	log     zerolog.Logger
	refused tally
}

// listen opens the door.
func (p *Program) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // a connection of which can be joined from other addresses, later
	l, err := config.Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return nil, err
	}
	return &door{Listener: l, subnet: p.Subnet, log: p.Log}, nil
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil || d.admits(conn.LocalAddr(), conn.RemoteAddr()) {
			return conn, err
		}
		d.note(conn)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // nothing of it stays here
		}
		_ = conn.Close()
	}
}

func (d *door) admits(local, remote net.Addr) bool {
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

func (d *door) note(conn net.Conn) {
	if n, due := d.refused.add(); due {
		d.log.Warn().Str("event", "stranger").Str("client", conn.RemoteAddr().String()).Str("local", conn.LocalAddr().String()).
			Int("refused", n).Msg("refused connections from outside of the bottle's internal network")
	}
}
