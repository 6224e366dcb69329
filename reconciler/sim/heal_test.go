package sim

import (
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests"
)

// TestConverge creates bottles, changes and removes them.
func TestConverge(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(full("a"), full("b"), full("c"))
		w.run(nil)
		w.settle(10 * time.Second)
		if got := len(w.hands.Names()); got != 12 {
			t.Errorf("%d containers: %v", got, w.hands.Names())
		}
		id, _ := w.hands.ID(name("pipelock", "a"))
		w.edit("a", func(b *manifests.Bottle) { b.Spec.Egress.Allowlist = []string{"example.com", "example.org"} })
		w.settle(10 * time.Second)
		if again, _ := w.hands.ID(name("pipelock", "a")); again != id {
			t.Error("a longer allowlist replaced pipelock")
		}
		w.withdraw("c")
		w.settle(20 * time.Second)
		if got := len(w.hands.Names()); got != 8 {
			t.Errorf("%d containers: %v", got, w.hands.Names())
		}
	})
}
