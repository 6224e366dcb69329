package reconciler

import (
	"math/rand/v2"
	"time"
)

// Jitter is a duration, less or more by a tenth, so that what is done now and then is not done all at once.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // nobody gains by guessing it
}
