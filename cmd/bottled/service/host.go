package service

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// hostRoutes lists the IPv4 destinations that this host has routes to.
func hostRoutes() ([]netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	var found []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		if ok && bits > 0 { // not the default route
			found = append(found, netip.PrefixFrom(addr, bits))
		}
	}
	return found, nil
}

// ReversePathFilter says whether this host filters by reverse path on every interface that nobody exempts. Linux applies the
// higher of the values for all interfaces and for the one, which starts with the default.
func ReversePathFilter() (bool, error) {
	for _, of := range []string{"all", "default"} {
		value, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + of + "/rp_filter")
		if err != nil {
			return false, fmt.Errorf("read whether this host filters by reverse path: %w", err)
		}
		if strings.TrimSpace(string(value)) != "0" {
			return true, nil
		}
	}
	return false, nil
}
