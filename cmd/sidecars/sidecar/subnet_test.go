package sidecar

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
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

// serveSubnet answers every connection that the subnetListener lets in.
func serveSubnet(t *testing.T, l net.Listener) (port string) {
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

// TestAttackStrangersAtTheDoor: to whom is not in the bottle's internal network, nobody answers; and the log stays short.
func TestAttackStrangersAtTheDoor(t *testing.T) {
	own := ownAddress(t)
	neighbour := own.As4()
	neighbour[3] ^= 16
	for name, c := range map[string]struct {
		subnet netip.Prefix
		served bool
	}{
		"a client in the internal network":     {netip.PrefixFrom(own, 28).Masked(), true},
		"a client of another address":          {netip.MustParsePrefix("198.51.100.0/28"), false},
		"a client of the neighbouring network": {netip.PrefixFrom(netip.AddrFrom4(neighbour), 28).Masked(), false},
		"no internal network given":            {netip.Prefix{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log sidecartest.Buffer
			l, err := (&Program{Listen: "0.0.0.0:0", Subnet: c.subnet, Log: zerolog.New(&log)}).listen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			port := serveSubnet(t, l)
			for range 20 {
				if got, err := ask(own.String(), port); c.served != (got == "served") {
					t.Errorf("served is %v, got %q, %v", c.served, got, err)
				}
			}
			if got, err := ask("127.0.0.1", port); got != "served" {
				t.Errorf("loopback: %q, %v", got, err)
			}
			l.Close()
			want := 1
			if c.served {
				want = 0
			}
			if n := strings.Count(log.String(), `"event":"stranger"`); n != want {
				t.Errorf("%d lines about strangers, want %d:\n%s", n, want, log.String())
			}
		})
	}
}

// TestDoorAdmits: both ends count.
func TestDoorAdmits(t *testing.T) {
	d := &subnetListener{subnet: netip.MustParsePrefix("10.213.0.16/28")}
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
