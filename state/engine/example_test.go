package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// An interceptor counts calls, and loses the answer of one: the engine has carried it out, and the caller gets an error.
func ExampleIntercept() {
	var verbs []string
	e := engine.Intercept(fake.New(fake.Options{}), func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
		verbs = append(verbs, c.Verb)
		err := next(ctx)
		if c.Verb == "create_network" {
			return engine.ErrUnavailable
		}
		return err
	})

	ctx := context.Background()
	_, err := e.CreateNetwork(ctx, state.Network{Name: "net-dev", Subnet: netip.MustParsePrefix("10.9.0.0/28")})
	fmt.Println("unavailable:", errors.Is(err, engine.ErrUnavailable))
	networks, err := e.Networks(ctx)
	fmt.Println("networks:", len(networks), err)
	fmt.Println(verbs)
	// Output:
	// unavailable: true
	// networks: 1 <nil>
	// [create_network list_networks]
}
