package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an attempt waits for somebody to answer.
const patience = time.Second

// connect tries TCP connections, side by side: as anybody would, and through a socket that is bound to each network
// interface, which sends without asking the routes.
func connect(targets []string) ([]attempt, error) {
	return everyWay(targets, func(target, device string) error { return dial("tcp", target, device) })
}

// ask is the same for sending an HTTP request, as to a proxy, and being answered anything.
func ask(targets []string) ([]attempt, error) {
	return everyWay(targets, func(target, device string) error {
		conn, err := open("tcp", target, device)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * patience)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("GET http://cred-proxy:9099/api/ HTTP/1.1\r\nHost: cred-proxy:9099\r\n\r\n")); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	})
}

// everyWay tries each target with the routes, and by each network interface.
func everyWay(targets []string, reach func(target, device string) error) ([]attempt, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var attempts []attempt
	var all sync.WaitGroup
	try := func(target, device string) {
		all.Go(func() {
			name := target
			if device != "" {
				name += " by " + device
			}
			a := outcome(name, reach(target, device))
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, a)
		})
	}
	for _, target := range targets {
		try(target, "")
		for _, link := range links {
			if link.Flags&net.FlagLoopback == 0 {
				try(target, link.Name)
			}
		}
	}
	all.Wait()
	return attempts, nil
}

// dial connects, through a device if one is named. Whoever takes the connection and hangs up at once was reached, too.
func dial(network, target, device string) error {
	conn, err := open(network, target, device)
	if errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

func open(network, target, device string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience, Control: control(func(fd int) error {
		if device == "" {
			return nil
		}
		return unix.BindToDevice(fd, device)
	})}
	return dialer.Dial(network, target)
}

// send sends datagrams in every way that needs no privilege. Whether they arrive is for the listener to tell: granted
// means only that one was sent. The text says how.
func send(args []string) ([]attempt, error) {
	if len(args) < 2 {
		return nil, errors.New("usage: send TEXT ADDRESS:PORT…")
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var attempts []attempt
	for _, target := range args[1:] {
		to, err := netip.ParseAddrPort(target)
		if err != nil {
			return nil, err
		}
		for _, link := range links {
			if link.Flags&net.FlagLoopback != 0 {
				continue
			}
			for way, option := range map[string]func(fd int) error{
				"plainly":   func(int) error { return nil },
				"by device": func(fd int) error { return unix.BindToDevice(fd, link.Name) },
				"past routes": func(fd int) error {
					return errors.Join(unix.BindToDevice(fd, link.Name), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DONTROUTE, 1))
				},
				"multicast": func(fd int) error { return multicast(fd, link.Index) },
			} {
				name := fmt.Sprintf("%s %s %s", target, way, link.Name)
				attempts = append(attempts, outcome(name, datagram(to, args[0]+" "+name, option)))
			}
		}
	}
	return attempts, nil
}

func datagram(to netip.AddrPort, text string, option func(fd int) error) error {
	dialer := net.Dialer{Control: control(func(fd int) error {
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1), option(fd))
	})}
	conn, err := dialer.Dial("udp", to.String())
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(text))
	return errors.Join(err, conn.Close())
}

func multicast(fd, index int) error {
	return errors.Join(
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 4))
}

func control(set func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = os.NewSyscallError("setsockopt", set(int(fd))) }), err)
	}
}
