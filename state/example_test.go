package state_test

import (
	"fmt"
	"net/netip"

	"github.com/bot-bottle/bottled/state"
)

// A bottle keeps its subnets, and a new one gets a slot that is free on the engine and on the host.
func ExampleAllocate() {
	pool := netip.MustParsePrefix("10.9.0.0/26") // two slots
	existing := map[string]state.Subnets{"dev": {
		Internal: netip.MustParsePrefix("10.9.0.32/28"), Egress: netip.MustParsePrefix("10.9.0.48/28"),
	}}
	taken := []netip.Prefix{existing["dev"].Internal, existing["dev"].Egress}

	subnets, failed := state.Allocate(pool, []string{"dev", "review", "third"}, existing, taken)
	for _, name := range []string{"dev", "review"} {
		fmt.Println(name, subnets[name].Internal, subnets[name].Egress)
	}
	fmt.Println(failed["third"])
	// Output:
	// dev 10.9.0.32/28 10.9.0.48/28
	// review 10.9.0.0/28 10.9.0.16/28
	// the subnet pool 10.9.0.0/26 is full (2 bottles at most, less what other networks and routes use of it): choose a larger one with --subnet-pool
}

// A secret can't be printed by accident.
func ExampleContent() {
	token := state.NewContent([]byte("hunter2"))
	fmt.Println(token)
	fmt.Printf("%#v\n", token)
	fmt.Println(len(token.Reveal()), "bytes")
	// Output:
	// [content]
	// [content]
	// 7 bytes
}
