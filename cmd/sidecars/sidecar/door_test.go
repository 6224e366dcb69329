package sidecar

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// ownAddress is one of this machine's that is not loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// serveDoor answers every connection that the door lets in.
func serveDoor(t *testing.T, l net.Listener) (port string) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "served")
			conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func ask(host, port string) (string, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 500*time.Millisecond)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	return string(got), err
}

// TestAttackStrangersAtTheDoor: to whom the bottle is closed, nothing listens: not even a handshake is answered.
func TestAttackStrangersAtTheDoor(t *testing.T) {
	own := ownAddress(t)
	subnet := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	for name, c := range map[string]struct {
		subnet netip.Prefix
		served bool
	}{
		"a client in the internal network":     {netip.PrefixFrom(own, 28).Masked(), true},
		"a client of another address":          {subnet("198.51.100.0/28"), false},
		"a client of the neighbouring network": {netip.PrefixFrom(netip.AddrFrom4([4]byte{own.As4()[0], own.As4()[1], own.As4()[2], own.As4()[3] ^ 16}), 28).Masked(), false},
		"no internal network given":            {netip.Prefix{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			l, err := (&Program{Listen: "0.0.0.0:0", Subnet: c.subnet, Log: zerolog.New(&log)}).listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			port := serveDoor(t, l)
			if got, err := ask("127.0.0.1", port); got != "served" {
				t.Errorf("loopback: %q, %v", got, err)
			}
			got, err := ask(own.String(), port)
			var timeout net.Error
			if c.served && got != "served" || !c.served && !(errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("served is %v, got %q, %v", c.served, got, err)
			}
			if log.Len() > 0 {
				t.Errorf("the kernel has no filter: %s", &log)
			}
		})
	}
}

// TestAttackStrangersWithoutTheFilter: where the kernel lets them through, they are closed, and the log stays short.
func TestAttackStrangersWithoutTheFilter(t *testing.T) {
	own := ownAddress(t)
	plain, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := &door{Listener: plain, subnet: netip.MustParsePrefix("198.51.100.0/28"), log: zerolog.New(&log)}
	port := serveDoor(t, d)
	for range 20 {
		if got, _ := ask(own.String(), port); got != "" {
			t.Errorf("a stranger got %q", got)
		}
	}
	if got, err := ask("127.0.0.1", port); got != "served" {
		t.Errorf("loopback: %q, %v", got, err)
	}
	d.Close()
	d.refused.mu.Lock()
	defer d.refused.mu.Unlock()
	if n := strings.Count(log.String(), "\n"); n != 1 || d.refused.n != 19 || !strings.Contains(log.String(), `"event":"stranger"`) {
		t.Errorf("%d lines, %d refused since:\n%s", n, d.refused.n, &log)
	}
}

// TestDoorAdmits: both ends count.
func TestDoorAdmits(t *testing.T) {
	d := &door{subnet: netip.MustParsePrefix("10.213.0.16/28")}
	addr := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, c := range []struct {
		local, remote string
		want          bool
	}{
		{"10.213.0.18:8888", "10.213.0.20:4000", true},
		{"[::ffff:10.213.0.18]:8888", "[::ffff:10.213.0.20]:4000", true},
		{"127.0.0.1:8888", "127.0.0.1:4000", true},
		{"[::1]:8888", "[::1]:4000", true},
		{"10.213.0.34:8888", "10.213.0.33:4000", false}, // the egress network's, from the host
		{"10.213.0.18:8888", "10.213.0.33:4000", false}, // the internal address, over the egress network
		{"10.213.0.34:8888", "10.213.0.20:4000", false}, // the egress address, from inside
		{"10.213.0.18:8888", "127.0.0.1:4000", false},
		{"127.0.0.1:8888", "10.213.0.20:4000", false},
		{"10.213.0.18:8888", "[fe80::1%eth0]:4000", false},
	} {
		if got := d.admits(addr(c.local), addr(c.remote)); got != c.want {
			t.Errorf("from %s to %s: %v", c.remote, c.local, got)
		}
	}
}
