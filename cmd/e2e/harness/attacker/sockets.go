package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// sockets tries what would put forged packets on a network, change routes and addresses, or reach past networks.
func sockets() []attempt {
	open := func(family, kind, protocol int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}
	}
	return tryAll([]trial{
		{name: "raw packets of the link (AF_PACKET), for ARP and forged senders", do: open(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{name: "raw IPv4 packets", do: open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)},
		{name: "raw ICMP", do: open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{name: "raw IPv6 packets", do: open(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW)},
		{name: "the machine below, past all networks (AF_VSOCK)", do: open(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{name: "the kernel's cryptography (AF_ALG)", do: open(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{name: "a forged sender", do: forge},
		{name: "an address more", do: addAddress},
		{name: "a route more", do: addRoute},
		{name: "a neighbour's entry (ARP)", do: addNeighbour},
		{name: "a link more", do: addLink},
	})
}

// trial is something to try on a thread of its own, which ends with it, whatever it has become.
type trial struct {
	name    string
	do      func() error
	granted []unix.Errno // errors that only one gets who was allowed to try
}

// letThrough are the answers of a kernel that was asked and was built without the thing.
var letThrough = []unix.Errno{unix.ENOSYS, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EOPNOTSUPP}

func tryAll(trials []trial) []attempt {
	attempts := make([]attempt, 0, len(trials))
	for _, t := range trials {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			done <- t.do()
		}()
		err := <-done
		for _, g := range append(t.granted, letThrough...) {
			if errors.Is(err, g) {
				err = nil
			}
		}
		attempts = append(attempts, outcome(t.name, err))
	}
	return attempts
}

func udpSocket(use func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(use(fd), unix.Close(fd))
}

// forge sends from an address that is not its own.
func forge() error {
	return udpSocket(func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{198, 51, 100, 7}}); err != nil {
			return err
		}
		return unix.Sendto(fd, []byte("forged"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
	})
}

// The requests of rtnetlink, as far as they matter: a header, the family's fixed part, attributes.
func addAddress() error {
	return route(unix.RTM_NEWADDR, []byte{unix.AF_INET, 32, 0, 0, 1, 0, 0, 0}, attribute(unix.IFA_LOCAL, []byte{198, 51, 100, 8}))
}

func addRoute() error {
	fixed := []byte{unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	return route(unix.RTM_NEWROUTE, fixed, append(attribute(unix.RTA_DST, []byte{198, 51, 100, 9}), attribute(unix.RTA_OIF, []byte{1, 0, 0, 0})...))
}

func addNeighbour() error {
	fixed := []byte{unix.AF_INET, 0, 0, 0, 1, 0, 0, 0, unix.NUD_PERMANENT, 0, 0, 0}
	return route(unix.RTM_NEWNEIGH, fixed,
		append(attribute(unix.NDA_DST, []byte{127, 9, 9, 9}), attribute(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1})...))
}

func addLink() error {
	kind := attribute(unix.IFLA_INFO_KIND, []byte("bridge"))
	return route(unix.RTM_NEWLINK, make([]byte, unix.SizeofIfInfomsg),
		append(attribute(unix.IFLA_IFNAME, []byte("attack0\x00")), attribute(unix.IFLA_LINKINFO, kind)...))
}

func attribute(kind uint16, value []byte) []byte {
	size := unix.SizeofRtAttr + len(value)
	b := binary.NativeEndian.AppendUint16(nil, uint16(size))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, (4-size%4)%4)...)
}

// route sends one request and returns the kernel's answer.
func route(kind uint16, fixed, attributes []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	size := unix.SizeofNlMsghdr + len(fixed) + len(attributes)
	b := binary.NativeEndian.AppendUint32(nil, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	b = append(append(append(b, make([]byte, 8)...), fixed...), attributes...)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("the kernel answers with %d bytes", n)
	}
	code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:]))
	if code == 0 {
		return nil
	}
	return unix.Errno(-code)
}
