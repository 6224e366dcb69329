package plan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// PrunePolicy is what happens to bottles that are no longer declared.
type PrunePolicy string

// The policies.
const (
	PruneGuarded PrunePolicy = "guarded" // remove them, unless that looks like an accident
	PruneAll     PrunePolicy = "all"     // remove them
	PruneNone    PrunePolicy = "none"    // never remove
	PrunePartial PrunePolicy = "partial" // the manifests are only some of those there are: leave all other bottles alone
	PruneLater   PrunePolicy = "later"   // not yet: a controller has only just read the manifests
)

// ErrPruneGuard marks a removal that must be confirmed, since it looks like an accident.
var ErrPruneGuard = errors.New("not removing bottles")

// prune applies the policy to bottles that are no longer declared: it sets Held, HeldWhy and PruneErr where they are kept.
func (p *Plan) prune(gone []string, existing map[string]owned, want Desired, policy PrunePolicy) {
	running := len(existing)
	if len(gone) == 0 {
		return
	}
	hold := func(format string, args ...any) {
		p.Held, p.HeldWhy = gone, fmt.Sprintf(format, args...)
	}
	unread := unreadManifest(gone, existing, want.Unread)
	declared := len(want.Bottles) + len(want.Failed)
	switch {
	case policy == PruneNone:
		hold("--prune=none")
	case policy == PruneLater:
		hold("the manifests were read for the first time a moment ago")
	case len(want.Unknown) > 0:
		hold("a problem in %s hides which bottle it declares", strings.Join(want.Unknown, ", "))
	case unread != "":
		hold("%s is not read, since an agent can write it, and one of them was declared there", unread)
	case policy == PruneAll:
	case declared == 0:
		hold("there is no manifest at all, and bottles exist: %d", running)
		p.PruneErr = fmt.Errorf("%w (%s): %s; if that is meant, confirm with --prune=all", ErrPruneGuard, strings.Join(gone, ", "), p.HeldWhy)
	case len(gone) > 2 && 2*len(gone) > running:
		hold("%d of %d bottles would go, more than half", len(gone), running)
		p.PruneErr = fmt.Errorf("%w (%s): %s; if that is meant, confirm with --prune=all", ErrPruneGuard, strings.Join(gone, ", "), p.HeldWhy)
	}
}

// unreadManifest returns the place that is no longer read and that held the manifest of one of the bottles; "" for none.
func unreadManifest(gone []string, existing map[string]owned, unread []string) string {
	for _, slug := range gone {
		for _, labels := range existing[slug].labels() {
			for _, place := range unread {
				if state.Within(labels[state.LabelManifest], place) {
					return place
				}
			}
		}
	}
	return ""
}

// labels returns the labels of every object.
func (o owned) labels() []map[string]string {
	var all []map[string]string
	for _, c := range o.containers {
		all = append(all, c.Labels)
	}
	for _, n := range o.networks {
		all = append(all, n.Labels)
	}
	for _, v := range o.volumes {
		all = append(all, v.Labels)
	}
	return all
}
