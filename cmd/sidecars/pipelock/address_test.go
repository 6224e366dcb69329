package pipelock

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		class addressClass
		addrs string
	}{
		{public, "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 " +
			"169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 " +
			"2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 2001:200::1 2003::1 3ffe::1 2620:fe::fe"},
		{unspecified, "0.0.0.0 ::"},
		{loopback, "127.0.0.1 127.0.0.53 127.255.255.255 ::1"},
		{private, "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 fc00::1 fd12:3456::1 fdff::1 fec0::1 feff::1"},
		{linkLocal, "169.254.0.1 169.254.255.255 fe80::1 febf::1 fe80::1%eth0 2606:4700::1%eth0"},
		{metadata, "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254"},
		{cgnat, "100.64.0.0 100.127.255.255"},
		{multicast, "224.0.0.1 239.255.255.255 ff02::1 ff0e::1"},
		{broadcast, "255.255.255.255"},
		{documentation, "192.0.2.1 198.51.100.255 203.0.113.0 2001:db8::1 3fff:0fff::1"},
		{benchmarking, "198.18.0.1 198.19.255.255 2001:2::1"},
		{reserved, "0.0.0.1 0.255.255.255 192.0.0.1 192.88.99.1 240.0.0.1 255.255.255.254 2001:10::1 2001:20::1 100::1 5f00::1 4000::1 1::1 64:ff9b:2::1 200::1"},
		{embedded, "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:169.254.169.254 ::7f00:1 ::8.8.8.8 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 " +
			"64:ff9b:1::1 64:ff9b:1:ffff::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2"},
	} {
		for addr := range strings.FieldsSeq(c.addrs) {
			if got := classify(netip.MustParseAddr(addr)); got != c.class {
				t.Errorf("%s is %s, want %s", addr, got, c.class)
			}
		}
	}
	if got := classify(netip.Addr{}); got != reserved {
		t.Errorf("the zero address is %s, want %s", got, reserved)
	}
}

func TestRangesAllow(t *testing.T) {
	p := &policy{ranges: []netip.Prefix{netip.MustParsePrefix("172.20.0.0/28"), netip.MustParsePrefix("fd01::/64")}}
	for addr, want := range map[string]addressClass{
		"172.20.0.15":         public,
		"172.20.0.16":         private,
		"fd01::2":             public,
		"fd01:0:0:1::2":       private,
		"fd01::2%eth0":        linkLocal,
		"::ffff:172.20.0.2":   embedded,
		"64:ff9b::172.20.0.2": embedded,
		"169.254.169.254":     metadata,
	} {
		if got := p.classify(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is %s, want %s", addr, got, want)
		}
	}
}
