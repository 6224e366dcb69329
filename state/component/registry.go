package component

import (
	"slices"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
)

// Registry holds the kinds in dependency order: a component starts when every one before it is ready.
type Registry struct {
	kinds    []Kind
	declared []Kind // those that can be declared
}

// NewRegistry makes a registry of kinds, and reserves the names and paths of those that a bottle has at most once: manifests can't use
// them.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: kinds}
	for _, k := range kinds {
		if k.Needed != nil {
			contract.Reserve(k.Component)
		}
		if k.isDeclared() {
			r.declared = append(r.declared, k)
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
		if k, is := k.as(name); is {
			return k
		}
	}
	return Kind{}
}

// Names returns the names of the components that a bottle has at most once, in dependency order.
func (r *Registry) Names() []state.ComponentName {
	var names []state.ComponentName
	for _, k := range r.declared {
		if k.Instances == nil {
			names = append(names, k.ComponentName())
		}
	}
	return names
}

// Forms returns the names of all components that a manifest can declare, as people are told of them: PREFIX-NAME for those whose names it
// declares.
func (r *Registry) Forms() []string {
	var forms []string
	for _, k := range r.declared {
		if k.Instances != nil {
			k.Name = "NAME"
		}
		forms = append(forms, string(k.ComponentName()))
	}
	return forms
}

// Has reports whether a manifest can declare a component.
func (r *Registry) Has(name state.ComponentName) bool { return r.Order(name) < len(r.declared) }

// Order returns the place of a component's kind among those that can be declared. Sessions and components of a later version come last.
func (r *Registry) Order(name state.ComponentName) int {
	for i, k := range r.declared {
		if _, is := k.as(name); is {
			return i
		}
	}
	return len(r.declared)
}

// Compare orders components by dependency. Components of one kind are equal: their order is that in which the manifest declares them.
func (r *Registry) Compare(a, b state.ComponentName) int { return r.Order(a) - r.Order(b) }

// NeededBy returns the kinds that a bottle has, in dependency order.
func (r *Registry) NeededBy(c Context) []Kind {
	var kinds []Kind
	for _, k := range r.declared {
		switch {
		case k.Instances != nil:
			kinds = append(kinds, k.Instances(c)...)
		case k.Needed(c):
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
