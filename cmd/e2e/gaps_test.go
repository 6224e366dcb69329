package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/observe"
)

// What the engine can't keep closed is told when bottled starts, and in the status, with and without a controller.
func TestGapsAreTold(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	engine, err := docker.Connect(t.Context(), state.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	info, err := engine.Info(t.Context())
	if err != nil || info.Version == "" || !info.PidsLimit {
		t.Fatalf("the engine says of itself: %+v, %v", info, err)
	}
	settings := state.Settings{}
	if err := settings.Pool.UnmarshalText([]byte(e.Pool)); err != nil {
		t.Fatal(err)
	}
	filtered, err := service.ReversePathFilter()
	if err != nil {
		t.Fatal(err)
	}
	want := observe.Warnings(info, filtered, settings)

	status := func() string { return e.Expect(exitDone, "status", "-o", "json").Stdout }
	for _, gap := range want {
		if out := status(); !strings.Contains(out, gap) {
			t.Errorf("status does not tell %q:\n%s", gap, out)
		}
	}
	c := e.Controller().Ready()
	if got := e.Status().Warnings; !slices.Equal(got, want) {
		t.Errorf("the controller tells %q, want %q", got, want)
	}
	for _, gap := range want {
		if n := c.LogCount(gap); n != 1 {
			t.Errorf("the controller logs %q %d times:\n%s", gap, n, c.LogText())
		}
		if out := status(); !strings.Contains(out, gap) {
			t.Errorf("status of a controller does not tell %q:\n%s", gap, out)
		}
		if out := e.Expect(exitDone, "status").Stdout; strings.Contains(out, gap) {
			t.Errorf("a warning stands under every status:\n%s", out)
		}
	}
}
