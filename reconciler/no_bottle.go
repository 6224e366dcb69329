package reconciler

import (
	"errors"
	"fmt"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// ErrNoBottle is a name that no bottle has. Its message has the name.
var ErrNoBottle = errors.New("there is no bottle")

// NoBottle is the error about a name that is none of the known bottles'.
func NoBottle(name string, known []string) error {
	if meant := scalar.Closest(name, known); meant != "" && len(name) > 1 {
		return fmt.Errorf("%w %q; did you mean %s?", ErrNoBottle, name, meant)
	}
	return fmt.Errorf("%w %q: bottled status lists all, --owner selects another owner's", ErrNoBottle, name)
}
