package reconciler

import (
	"errors"
	"fmt"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// ErrNoBottle marks a name that no bottle has, or a component that a bottle does not have.
var ErrNoBottle = errors.New("there is no bottle")

// NoBottle is the error about a name that is none of the known bottles'.
func NoBottle(name string, known []string) error {
	if meant := scalar.Closest(name, known); meant != "" && len(name) > 1 {
		return fmt.Errorf("%w %q; did you mean %s?", ErrNoBottle, name, meant)
	}
	return fmt.Errorf("%w %q: bottled status lists all, --owner selects another owner's", ErrNoBottle, name)
}

// NoComponent is the error about a component that a bottle does not have; it is [ErrNoBottle], too.
func NoComponent(bottle, component string) error {
	return missingError(fmt.Sprintf("bottle %s has no %s", bottle, component))
}

// missingError is [ErrNoBottle] with a text of its own.
type missingError string

func (e missingError) Error() string { return string(e) }

func (e missingError) Is(target error) bool { return target == ErrNoBottle }
