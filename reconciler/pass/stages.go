package pass

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// declaration is a manifest with what it refers to.
type declaration struct {
	manifest   v1alpha1.Bottle
	inputs     resolve.Inputs
	generation int64
}

func (d declaration) slug() string { return d.manifest.Metadata.Name }

// images are the references of the workloads' images. That of an agent is missing when it can't be known, for which rendering fails.
func (d declaration) images(s state.Settings) []string {
	var refs []string
	if image, err := s.ImageOfAgent(d.manifest, d.inputs.Build); err == nil && image != "" {
		refs = append(refs, image)
	}
	for _, service := range d.manifest.Spec.Services {
		refs = append(refs, service.Image)
	}
	return refs
}

// resolved is one bottle's outcome of the stage resolve.
type resolved struct {
	declaration       // the newest valid one
	err         error // why what it refers to can't be read
	stale       error // why it is not the newest one; nil when it is
	// last is what could be rendered before, to fall back on; nil when nothing was. lastRefused says that one of its mounts must
	// not be mounted any more.
	last        *declaration
	lastRefused bool
}

// resolve reads what the manifests refer to. It holds no lock meanwhile.
func (r *Reconciler) resolve(m source.Snapshot) []resolved {
	var all []resolved
	for _, b := range m.Bottles {
		d := declaration{manifest: b, generation: r.generation(b)}
		all = append(all, r.resolveBottle(d, m.Writable))
	}
	for slug := range m.InvalidSlugs() {
		if last, ok := r.lastDeclared(slug); ok {
			b := r.resolveBottle(last, m.Writable)
			b.stale = fmt.Errorf("%w, so it is kept as it was declared last", reconciler.ErrInvalid)
			all = append(all, b)
		}
	}
	return all
}

func (r *Reconciler) resolveBottle(d declaration, writable safepath.Set) resolved {
	res := resolved{declaration: d}
	reader := r.inputReader(d.slug(), writable)
	var examined bool
	if res.inputs, examined = r.takeExamined(d.manifest); !examined {
		res.inputs, res.err = reader.Read(d.manifest)
	}
	now := time.Now()
	res.inputs.SetTime(d.manifest, now)
	last, ok := r.lastApplied(d.slug())
	if !ok {
		return res
	}
	last.inputs.SetTime(last.manifest, now)
	res.last = &last
	if reflect.DeepEqual(last.manifest, d.manifest) {
		res.lastRefused = errors.Is(res.err, state.ErrMount)
	} else {
		_, err := reader.Mounts(last.manifest)
		res.lastRefused = err != nil
	}
	return res
}

// lastDeclared returns what was declared last of a bottle whose manifest is invalid now: as this process knows it or, after a
// restart, as the state directory does; false where that is not known.
func (r *Reconciler) lastDeclared(slug string) (declaration, bool) {
	if last, ok := r.lastApplied(slug); ok {
		return last, true
	}
	b, found, err := store.ReadRecord(r.Settings, slug)
	if err != nil || !found || b.Declared.Metadata.Name != slug {
		return declaration{}, false // the bottle is left as it is
	}
	return declaration{manifest: b.Declared, generation: b.Generation}, true
}

func (r *Reconciler) lastApplied(slug string) (declaration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.applied[slug]
	return last, ok
}

// InputsChanged reports whether what a manifest refers to reads otherwise than when the bottle was rendered last. If so, the next
// pass takes what was read here. The error is for when that can't be known.
func (r *Reconciler) InputsChanged(m v1alpha1.Bottle, writable safepath.Set) (bool, error) {
	slug := m.Metadata.Name
	last, ok := r.lastApplied(slug)
	if !ok {
		return false, errors.New("the bottle was never made of it")
	}
	in, err := r.inputReader(slug, writable).Read(m)
	in.Hosts, in.HostsUntil = last.inputs.Hosts, last.inputs.HostsUntil // the controller knows when they change
	if reflect.DeepEqual(in, last.inputs) {
		return false, err
	}
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.examined = with(r.examined, slug, declaration{manifest: m, inputs: in})
	}
	return true, err
}

// takeExamined returns what InputsChanged read for a pass to come, once.
func (r *Reconciler) takeExamined(m v1alpha1.Bottle) (resolve.Inputs, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.examined[m.Metadata.Name]
	delete(r.examined, m.Metadata.Name)
	return d.inputs, ok && reflect.DeepEqual(d.manifest, m)
}

// Forget drops what is known of a bottle that is gone.
func (r *Reconciler) Forget(slug string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.applied, slug)
	delete(r.examined, slug)
	delete(r.generations, slug)
	delete(r.running, slug)
	delete(r.reserved, slug)
}

func with[V any](m map[string]V, key string, value V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[key] = value
	return m
}

// knownImages returns the references of images that are known before build contexts are read: those of the sidecars and services, of
// agents that are not built, and of workloads as they were rendered last.
func (r *Reconciler) knownImages(m source.Snapshot) []string {
	refs := kinds.All.SidecarImages(r.Settings)
	slugs := slices.Collect(maps.Keys(m.InvalidSlugs()))
	for _, b := range m.Bottles {
		refs = append(refs, declaration{manifest: b}.images(r.Settings)...)
		slugs = append(slugs, b.Metadata.Name)
	}
	for _, slug := range slugs {
		if last, ok := r.lastApplied(slug); ok {
			refs = append(refs, last.images(r.Settings)...)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// images returns the references of the workloads' images.
func (r *Reconciler) images(bottles []resolved) []string {
	var refs []string
	for _, b := range bottles {
		refs = append(refs, b.images(r.Settings)...)
		if b.last != nil {
			refs = append(refs, b.last.images(r.Settings)...)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// missing returns what of all is not among some.
func missing(all, some []string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return slices.Contains(some, s) })
}

// place gives each bottle its subnets: those that its networks have, or free ones.
func (r *Reconciler) place(bottles []resolved, have observe.Observed) (map[string]state.Subnets, map[string]error) {
	existing := map[string]state.Subnets{}
	taken := slices.Clone(have.Routes)
	for _, n := range have.Networks {
		taken = append(taken, n.Subnets...)
		if n.Labels[state.LabelOwner] != r.Settings.Owner {
			continue
		}
		slug := n.Labels[state.LabelSlug]
		existing[slug] = withSubnet(existing[slug], n.Labels[state.LabelRole], n.Subnet)
	}
	var slugs []string
	for _, b := range bottles {
		slugs = append(slugs, b.slug())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for slug, s := range r.reserved {
		if !slices.Contains(slugs, slug) {
			taken = append(taken, s.Internal, s.Egress)
		}
	}
	got, failed := state.Allocate(r.Settings.Pool, slugs, existing, taken)
	for slug, s := range got {
		r.reserved = with(r.reserved, slug, s)
	}
	return got, failed
}

func withSubnet(s state.Subnets, role string, subnet netip.Prefix) state.Subnets {
	if role == state.InternalNetwork {
		s.Internal = subnet
	} else {
		s.Egress = subnet
	}
	return s
}

// placement is the outcome of the stage place: the bottles' subnets, and why others have none.
type placement struct {
	subnets  map[string]state.Subnets
	unplaced map[string]error
}

// render turns what was resolved and placed into desired state, and applies what an operator asks.
func (r *Reconciler) render(m source.Snapshot, bottles []resolved, at placement, asked interventions) plan.Desired {
	want := plan.Desired{Failed: map[string]error{}, Stale: map[string]error{}, Cut: asked.cut()}
	for _, p := range m.UnknownDocuments() {
		if !slices.Contains(want.Unknown, p.File) {
			want.Unknown = append(want.Unknown, p.File)
		}
	}
	want.Unknown = append(want.Unknown, m.Unsettled...)
	for _, u := range m.Unread {
		want.Unread = append(want.Unread, u.Abs)
	}
	for slug := range m.InvalidSlugs() {
		want.Failed[slug] = fmt.Errorf("%w, so it is left as it is", reconciler.ErrInvalid)
	}
	for _, b := range bottles {
		slug := b.slug()
		runs, err := store.ReadRuns(r.Settings, slug)
		if err := cmp.Or(at.unplaced[slug], asked.failed[slug], err); err != nil {
			want.Failed[slug] = err
			continue
		}
		desired, newest, err := renderBottle(b, at.subnets[slug], r.Settings)
		if desired == nil {
			want.Failed[slug] = err
			continue
		}
		if newest {
			r.setApplied(b.declaration)
		}
		delete(want.Failed, slug)
		if stale := errors.Join(b.stale, err); stale != nil {
			want.Stale[slug] = stale
		}
		desired.Runs = runs
		desired.Intervene(asked.asked[slug], render.SpecHash(b.manifest))
		want.Bottles = append(want.Bottles, *desired)
	}
	return want
}

// renderBottle renders what was resolved or, where that fails, what could be rendered last, with the error of the newest. nil: there
// is nothing to fall back on. Where a mount of the fallback must not be mounted any more, its agent is not started.
func renderBottle(b resolved, subnets state.Subnets, s state.Settings) (desired *state.Bottle, newest bool, err error) {
	err = b.err
	if err == nil {
		var d state.Bottle
		if d, err = render.Bottle(b.manifest, b.inputs, subnets, s); err == nil {
			d.Generation = b.generation
			return &d, true, nil
		}
		line := b.manifest.Source.Line
		if field := (*component.FieldError)(nil); errors.As(err, &field) {
			line = field.Line
		}
		err = fmt.Errorf("%s:%d: %w", b.manifest.Source.Path, line, err)
	}
	if b.last == nil {
		return nil, false, err
	}
	d, lastErr := render.Bottle(b.last.manifest, b.last.inputs, subnets, s)
	if lastErr != nil {
		return nil, false, errors.Join(err, lastErr)
	}
	if b.lastRefused {
		d.Block(state.Agent, "it is not started while one of its mounts is refused")
	}
	d.Generation = b.last.generation
	return &d, false, fmt.Errorf("%w; it is kept as it was declared last", err)
}

func (r *Reconciler) setApplied(d declaration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = with(r.applied, d.slug(), d)
}
