package resolve

import (
	"fmt"
	"slices"

	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
)

// checkContext rejects a build context with system files of the host or bottled's own files, tokens among them. Checkouts of
// repositories are allowed.
func checkContext(s state.Settings, o *safepath.Object) error {
	if err := rules.CheckBuildContext(o.Real); err != nil {
		return fmt.Errorf("%s: %w", o.Real, err)
	}
	own, shows, err := exposedOutsideCheckouts(s, o.Location())
	if err != nil || !shows {
		return err
	}
	return fmt.Errorf("%s would put bottled's own files in %s into the image: name another directory", o.Real, own)
}

// exposedOutsideCheckouts is exposedOwnDir, but for the checkouts of repositories: what a manifest there refers to is next to it.
func exposedOutsideCheckouts(s state.Settings, at safepath.Location) (dir string, shows bool, err error) {
	own, shows, err := exposedOwnDir(s, at)
	if err != nil || !shows || s.StateDir == "" {
		return own, shows, err
	}
	checkouts, _, err := safepath.Trace(s.CheckoutDir())
	if err != nil {
		return own, shows, err
	}
	_, inside := at.Within(checkouts[len(checkouts)-1])
	return own, !inside, nil
}

// exposedOwnDir reports whether a file or directory of the host is in, contains or leads to one of bottled's own directories, and which.
func exposedOwnDir(s state.Settings, at safepath.Location) (dir string, shows bool, err error) {
	for _, own := range []string{s.StateDir, s.RunDir} {
		if own == "" {
			continue // validate may know none
		}
		trace, _, err := safepath.Trace(own)
		if err != nil {
			return own, false, err
		}
		_, inside := at.Within(trace[len(trace)-1])
		around := func(l safepath.Location) bool { _, yes := l.Within(at); return yes }
		if inside || slices.ContainsFunc(trace, around) {
			return own, true, nil
		}
	}
	return "", false, nil
}
