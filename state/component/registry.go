package component

import (
	"slices"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
)

// Registry holds the kinds in dependency order: a component starts when every one before it is ready.
type Registry struct {
	kinds []Kind
	names []state.ComponentName // of those that can be declared
}

// NewRegistry makes a registry of kinds, and reserves the names and paths of those that are declared: manifests can't use them.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: kinds}
	for _, k := range kinds {
		if k.Needed != nil {
			contract.Reserve(k.Component)
			r.names = append(r.names, k.ComponentName())
		}
	}
	return r
}

// With returns a registry that has another kind, last of the sidecars: workloads start after it.
func (r *Registry) With(k Kind) *Registry {
	at := slices.IndexFunc(r.kinds, func(k Kind) bool { return k.Workload })
	if at < 0 {
		at = len(r.kinds)
	}
	return NewRegistry(slices.Insert(slices.Clone(r.kinds), at, k)...)
}

// Kinds returns all kinds in dependency order.
func (r *Registry) Kinds() []Kind { return r.kinds }

// Of returns the kind of a component; the zero Kind for one that a later version made.
func (r *Registry) Of(name state.ComponentName) Kind {
	for _, k := range r.kinds {
		if k.ComponentName() == name {
			return k
		}
	}
	return Kind{}
}

// Names returns the names of the components that a manifest can declare, in dependency order.
func (r *Registry) Names() []state.ComponentName { return r.names }

// Has reports whether a manifest can declare a component.
func (r *Registry) Has(name state.ComponentName) bool { return slices.Contains(r.names, name) }

// Order returns a component's place in Names. Sessions and components of a later version come last.
func (r *Registry) Order(name state.ComponentName) int {
	if i := slices.Index(r.names, name); i >= 0 {
		return i
	}
	return len(r.names)
}

// Compare orders components by dependency.
func (r *Registry) Compare(a, b state.ComponentName) int { return r.Order(a) - r.Order(b) }

// NeededBy returns the kinds that a bottle has, in dependency order.
func (r *Registry) NeededBy(c Context) []Kind {
	var kinds []Kind
	for _, k := range r.kinds {
		if k.Needed != nil && k.Needed(c) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// SidecarImages returns the references of the sidecars' images.
func (r *Registry) SidecarImages(s state.Settings) []string {
	var refs []string
	for _, k := range r.kinds {
		if k.Image != nil && !k.Workload {
			ref, _ := s.Image(k.ComponentName())
			refs = append(refs, ref)
		}
	}
	return refs
}
