package reconciler

import (
	"math/rand/v2"
	"time"
)

// Jitter returns d changed by a random factor of up to ±10 %, so that periodic work of many bottles does not coincide.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // nobody gains by guessing it
}
