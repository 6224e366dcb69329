package fake_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// Somebody pauses a container that is awaited: the wait ends at once, with the reason.
func Example() {
	e := fake.New(fake.Options{
		Images:  map[string]engine.ImageDefaults{"web:1": {Command: []string{"serve"}}},
		Program: func(state.Container) fake.Program { return fake.Program{Boot: time.Hour, Health: engine.HealthHealthy} },
	})
	ctx := context.Background()
	if _, err := e.CreateNetwork(ctx, state.Network{Name: "net", Subnet: netip.MustParsePrefix("10.9.0.0/28")}); err != nil {
		fmt.Println(err)
	}
	id, err := e.CreateContainer(ctx, state.Container{Name: "web", Image: "web:1", Networks: []state.Attachment{{Network: "net"}}})
	if err != nil {
		fmt.Println(err)
	}
	if err := e.StartContainer(ctx, id, nil); err != nil {
		fmt.Println(err)
	}

	waited := make(chan error)
	go func() {
		_, err := e.WaitReady(ctx, id, engine.Readiness{})
		waited <- err
	}()
	if err := e.Hands().Pause("web"); err != nil {
		fmt.Println(err)
	}
	fmt.Println("paused:", errors.Is(<-waited, engine.ErrPaused))
	// Output: paused: true
}
