package state

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAllocateWholePool(t *testing.T) {
	pool := netip.MustParsePrefix("10.213.64.0/19") // 256 bottles: an eighth of the default
	slugs := make([]string, 256)
	for i := range slugs {
		slugs[i] = fmt.Sprintf("bottle-%d", i)
	}
	got, failed := Allocate(pool, slugs, nil, nil)
	if len(got) != 256 || len(failed) != 0 {
		t.Fatalf("%d of 256 bottles got subnets, %d did not", len(got), len(failed))
	}
	seen := map[netip.Prefix]string{}
	for slug, s := range got {
		for _, p := range []netip.Prefix{s.Internal, s.Egress} {
			if other, taken := seen[p]; taken || !pool.Overlaps(p) || p.Bits() != 28 || p.Masked() != p {
				t.Fatalf("%s got %s, which %q has or which is not a /28 of the pool", slug, p, other)
			}
			seen[p] = slug
		}
	}
	_, failed = Allocate(pool, append(slugs, "one-more"), nil, nil)
	if err := failed["one-more"]; err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("the 257th bottle: %v", err)
	}
}

// Whatever exists and is taken: nothing that is given out overlaps anything else, and what exists stays.
func TestAllocateProperties(t *testing.T) {
	pool := netip.MustParsePrefix("10.9.0.0/23") // 16 slots
	rapid.Check(t, func(t *rapid.T) {
		slugs := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 0, 20, rapid.ID[string]).Draw(t, "slugs")
		var taken []netip.Prefix
		for _, n := range rapid.SliceOfN(rapid.Uint32Range(0, 31), 0, 8).Draw(t, "taken") {
			taken = append(taken, offset(pool, n))
		}
		first, failed := Allocate(pool, slugs, nil, taken)
		all := append([]netip.Prefix{}, taken...)
		for _, slug := range slugs {
			s, ok := first[slug]
			if ok == (failed[slug] != nil) {
				t.Fatalf("%s: allocated %v, error %v", slug, ok, failed[slug])
			}
			if !ok {
				continue
			}
			if overlaps(s.Internal, all) || overlaps(s.Egress, append(all, s.Internal)) {
				t.Fatalf("%s got %v, which overlaps %v", slug, s, all)
			}
			all = append(all, s.Internal, s.Egress)
		}
		again, _ := Allocate(pool, slugs, first, all)
		for slug, s := range first {
			if again[slug] != s {
				t.Fatalf("%s moved from %v to %v", slug, s, again[slug])
			}
			// One network was lost: the other one keeps its range.
			half, errs := Allocate(pool, []string{slug}, map[string]Subnets{slug: {Internal: s.Internal}}, without(all, s.Egress))
			if errs[slug] != nil || half[slug].Internal != s.Internal || !half[slug].Egress.IsValid() {
				t.Fatalf("%s with its internal network only: %v, %v", slug, half[slug], errs[slug])
			}
		}
	})
}

func without(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	var rest []netip.Prefix
	for _, q := range list {
		if q != p {
			rest = append(rest, q)
		}
	}
	return rest
}

func TestAllocateNamesWhatCoversThePool(t *testing.T) {
	vpn := netip.MustParsePrefix("10.0.0.0/8")
	_, failed := Allocate(DefaultPool, []string{"dev"}, nil, []netip.Prefix{vpn})
	if err := failed["dev"]; err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") || !strings.Contains(err.Error(), "--subnet-pool") {
		t.Errorf("%v", err)
	}
}

func TestCheckPool(t *testing.T) {
	for pool, ok := range map[string]bool{
		"10.213.0.0/16": true, "192.168.0.0/27": true, "100.64.0.0/20": true, "172.16.0.0/12": true,
		"10.0.0.0/28": false, "8.8.8.0/24": false, "fd00::/8": false, "10.1.2.3/16": false,
	} {
		if err := CheckPool(netip.MustParsePrefix(pool)); (err == nil) != ok {
			t.Errorf("%s: %v", pool, err)
		}
	}
}
