package state

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
)

const (
	slotBits    = 27 // prefix length of a bottle's slot of the pool, which holds two networks
	networkBits = 28 // prefix length of a network: 13 containers, four of bottled's and those attached for debugging
)

// Subnets are the address ranges of a bottle's two networks.
type Subnets struct{ Internal, Egress netip.Prefix }

// Allocate assigns subnets of the pool to bottles, by name. It is pure. An existing network keeps its range. A new bottle gets the slot that
// its name hashes to, or the next free one, so that subnets stay the same wherever possible. taken are the ranges not to overlap: networks
// on the engine and routes of the host. A bottle without a free slot is missing in the first result and has an error in the second.
func Allocate(pool netip.Prefix, slugs []string, existing map[string]Subnets, taken []netip.Prefix) (map[string]Subnets, map[string]error) {
	got, failed := map[string]Subnets{}, map[string]error{}
	pool = pool.Masked()
	for _, slug := range slugs {
		subnets := existing[slug]
		if subnets.Internal.IsValid() && subnets.Egress.IsValid() {
			got[slug] = subnets
			continue
		}
		slot, err := freeSlot(pool, slug, subnets, taken)
		if err != nil {
			failed[slug] = err
			continue
		}
		if !subnets.Internal.IsValid() {
			subnets.Internal = slot.Internal
		}
		if !subnets.Egress.IsValid() {
			subnets.Egress = slot.Egress
		}
		got[slug] = subnets
		taken = append(taken, subnets.Internal, subnets.Egress)
	}
	return got, failed
}

// freeSlot returns the first slot, from the one that the name hashes to, whose missing halves overlap nothing.
func freeSlot(pool netip.Prefix, slug string, have Subnets, taken []netip.Prefix) (Subnets, error) {
	slots := uint32(1) << (slotBits - pool.Bits())
	h := fnv.New32a()
	_, _ = h.Write([]byte(slug)) // never fails
	first := h.Sum32() % slots
	for i := range slots {
		s := slotAt(pool, (first+i)%slots)
		if (have.Internal.IsValid() || !overlaps(s.Internal, taken)) && (have.Egress.IsValid() || !overlaps(s.Egress, taken)) {
			return s, nil
		}
	}
	for _, t := range taken {
		if t.Bits() <= pool.Bits() && t.Overlaps(pool) {
			return Subnets{}, fmt.Errorf("the subnet pool %s lies in %s, which the engine or a route of this host uses: choose another with --subnet-pool", pool, t)
		}
	}
	return Subnets{}, fmt.Errorf("the subnet pool %s is full (%d bottles at most, less what other networks and routes use of it): choose a larger one with --subnet-pool", pool, slots)
}

func slotAt(pool netip.Prefix, index uint32) Subnets {
	return Subnets{Internal: offset(pool, 2*index), Egress: offset(pool, 2*index+1)}
}

// offset returns the n-th network of networkBits in the pool.
func offset(pool netip.Prefix, n uint32) netip.Prefix {
	base := pool.Addr().As4()
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], binary.BigEndian.Uint32(base[:])+n<<(32-networkBits))
	return netip.PrefixFrom(netip.AddrFrom4(addr), networkBits)
}

func overlaps(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}

// CheckPool returns an error for a subnet pool that can't be used.
func CheckPool(pool netip.Prefix) error {
	switch {
	case !pool.IsValid() || !pool.Addr().Is4():
		return fmt.Errorf("subnet pool %s: an IPv4 range is needed, like %s", pool, DefaultPool)
	case pool.Masked() != pool:
		return fmt.Errorf("subnet pool %s: bits are set beyond the prefix length; you may mean %s", pool, pool.Masked())
	case pool.Bits() > slotBits:
		return fmt.Errorf("subnet pool %s: too small for one bottle, which needs a /%d", pool, slotBits)
	case !pool.Addr().IsPrivate() && !cgnat.Contains(pool.Addr()):
		return fmt.Errorf("subnet pool %s: not a private range; use one inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10", pool)
	}
	return nil
}

var cgnat = netip.MustParsePrefix("100.64.0.0/10")
