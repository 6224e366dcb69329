package sidecar

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// SubnetFlag adds the flag --internal-subnet of every sidecar.
func SubnetFlag(flags *pflag.FlagSet, subnet *netip.Prefix) {
	flags.TextVar(subnet, "internal-subnet", netip.Prefix{},
		"`range` of the bottle's internal network: only clients in it are served, on an address in it; without it, only loopback")
}

var loopbacks = netip.MustParsePrefix("127.0.0.0/8")

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

// listen opens the door. The kernel drops strangers' packets, so that to them nothing listens; where it can't (gVisor),
// their connections are closed when they are accepted.
func (p *Program) listen(ctx context.Context) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = attachFilter(int(fd), p.Subnet) })
		if failed != nil {
			p.Log.Warn().Err(failed).Msg("the kernel drops no packets from outside of the bottle; those connections are closed when they are accepted")
		}
		return err
	}}
	config.SetMultipathTCP(false) // whose sockets take no filter, and whose connections can be joined from other addresses
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

// attachFilter has the kernel drop IPv4 packets to a listening socket that door would not admit. The connections that
// come of it inherit the filter. IPv6 is left to door.
func attachFilter(fd int, subnet netip.Prefix) error {
	program, err := bpf.Assemble(filter(subnet))
	if err != nil {
		return fmt.Errorf("assemble socket filter: %w", err)
	}
	instructions := make([]unix.SockFilter, len(program))
	for i, in := range program {
		instructions[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}) //nolint:gosec // some twenty
}

// What a socket filter returns: how much of the packet is kept.
var (
	keep = bpf.RetConstant{Val: 0x40000}
	drop = bpf.RetConstant{Val: 0}
)

func filter(subnet netip.Prefix) []bpf.Instruction {
	const version, source, destination = 0, 12, 16 // offsets in the IPv4 header
	header := func(offset, size int) bpf.Instruction {
		const networkHeader = 0xfff00000                                         // SKF_NET_OFF: the data of a TCP socket's packets begins behind it
		return bpf.LoadAbsolute{Off: networkHeader + uint32(offset), Size: size} //nolint:gosec // a constant
	}
	// both keeps the packet when source and destination are in the range, and otherwise goes on behind itself.
	both := func(r netip.Prefix) []bpf.Instruction {
		base, mask := r.Masked().Addr().As4(), net.CIDRMask(r.Bits(), 32)
		number := func(b []byte) uint32 { return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) }
		return []bpf.Instruction{
			header(source, 4), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: number(mask)},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number(base[:]), SkipTrue: 4},
			header(destination, 4), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: number(mask)},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number(base[:]), SkipTrue: 1},
			keep,
		}
	}
	program := []bpf.Instruction{
		header(version, 1), bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 4, SkipTrue: 1},
		keep,
	}
	program = append(program, both(loopbacks)...)
	if subnet.IsValid() && subnet.Addr().Is4() {
		program = append(program, both(subnet)...)
	}
	return append(program, drop)
}
