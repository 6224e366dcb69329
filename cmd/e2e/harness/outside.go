package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Machine is the network namespace of a private engine: to its containers, the network of their host.
type Machine struct {
	tb testing.TB
	ns int // a descriptor
}

// Machine is the engine's, until it's stopped. Its loopback interface is up.
func (g *Engine) Machine() Machine {
	g.tb.Helper()
	ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", g.PID()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		g.tb.Fatalf("the private engine's network: %v", err)
	}
	g.tb.Cleanup(func() { _ = unix.Close(ns) })
	m := Machine{g.tb, ns}
	m.do(func() error { return up("lo") })
	return m
}

// Outside gives the machine a way out: a link named wan0 with the address 192.0.2.1, and behind it, in a namespace of its
// own, whoever has these addresses.
func (m Machine) Outside(addresses ...string) Machine {
	m.tb.Helper()
	out := Machine{tb: m.tb}
	out.do(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		out.ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	m.tb.Cleanup(func() { _ = unix.Close(out.ns) })
	m.do(func() error {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wan0"}, PeerName: "machine0", PeerNamespace: netlink.NsFd(out.ns)}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		return errors.Join(address("wan0", "192.0.2.1/24"), up("wan0"), defaultRoute("192.0.2.2"))
	})
	out.do(func() error {
		failed := []error{up("lo"), address("machine0", "192.0.2.2/24"), up("machine0")}
		for _, a := range addresses {
			failed = append(failed, address("lo", a+"/32"))
		}
		return errors.Join(failed...)
	})
	return out
}

// do runs f on a thread that is in the namespace. Sockets that f opens stay there.
func (m Machine) do(f func() error) {
	m.tb.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if m.ns != 0 {
			if err := unix.Setns(m.ns, unix.CLONE_NEWNET); err != nil {
				done <- err
				return
			}
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		m.tb.Fatalf("network namespace: %v", err)
	}
}

// Listen listens on the machine, until the test ends.
func (m Machine) Listen(network, address string) net.Listener {
	m.tb.Helper()
	var l net.Listener
	m.do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), network, address)
		return err
	})
	m.tb.Cleanup(func() { _ = l.Close() })
	return l
}

// ListenPacket listens on the machine, until the test ends.
func (m Machine) ListenPacket(network, address string) net.PacketConn {
	m.tb.Helper()
	var c net.PacketConn
	m.do(func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), network, address)
		return err
	})
	m.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Addresses are all the machine's, on whatever interface.
func (m Machine) Addresses() []net.IPNet {
	m.tb.Helper()
	var found []net.IPNet
	m.do(func() error {
		list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range list {
			found = append(found, *a.IPNet)
		}
		return err
	})
	return found
}

// Sysctl sets a value below /proc/sys/net of the machine.
func (m Machine) Sysctl(path, value string) {
	m.tb.Helper()
	m.do(func() error { return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0) })
}

// Run runs a command on the machine, which has its network.
func (m Machine) Run(name string, args ...string) {
	m.tb.Helper()
	m.do(func() error {
		out, err := exec.Command(name, args...).CombinedOutput() // a child of this thread
		if err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

func address(name, cidr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(link, a)
}

func defaultRoute(gateway string) error {
	return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)})
}
