package source

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// A manifest that an agent can write is no manifest: the agent would decide about its own limits, or declare a bottle without
// any. The same holds for whatever a manifest refers to. Only valid documents make places writable: a refused one starts
// nothing, and must not make others invalid.

const (
	refFix     = "move it out of that directory, or mount that with readOnly: true"
	contextFix = "mount another directory, mount it with readOnly: true, or move the context"
)

// hostPath is a path of the host that a document names.
type hostPath struct {
	field string
	path  string // absolute
	trace []safepath.Location
	fix   string // for when an agent can write it
}

// claim is what a valid document says about the host.
type claim struct {
	*declaration
	agents  safepath.Set // what is writable by the document's own agent
	refs    []hostPath   // nobody's agent must be able to write these
	mounts  []hostPath
	context *safepath.Location // of the build
}

// places returns what the document's agent can write, as far as its mounts exist or could.
func (d *declaration) places() []safepath.Place {
	if !d.IsValid() {
		return nil
	}
	if !d.located {
		d.located, d.writable = true, PlacesOf(d.Bottle, d.Where())
	}
	return d.writable
}

// PlacesOf returns what the agent of a valid bottle can write; where says where the bottle is declared.
func PlacesOf(b v1alpha1.Bottle, where string) []safepath.Place {
	if b.Spec.Agent == nil {
		return nil
	}
	var places []safepath.Place
	for i, m := range b.Spec.Agent.Mounts {
		if m.ReadOnly {
			continue
		}
		p, err := safepath.NewPlace(m.Source)
		if err != nil {
			continue // the bottle is not started for the same reason
		}
		p.Bottle, p.Where, p.Field = b.Metadata.Name, where, parse.ElementOf(v1alpha1.MountsField, i)
		p.Covered = covered(m, p.Path, b.Spec.Agent.Mounts)
		places = append(places, p)
	}
	return places
}

// covered returns the entries of a mount's source that the agent sees another mount on.
func covered(m v1alpha1.Mount, real string, all []v1alpha1.Mount) []string {
	var names []string
	for _, other := range all {
		name := path.Base(other.Source)
		if other.Target != m.Target+"/"+name {
			continue
		}
		if path.Dir(other.Source) == m.Source || path.Dir(other.Source) == real {
			names = append(names, name)
		}
	}
	return names
}

// learn returns the places that a document without problems makes writable, unless it lies in one of them itself, or a known
// manifest does.
func (d *declaration) learn(protected [][]safepath.Location) []safepath.Place {
	places := d.places()
	set := safepath.NewSet(places...)
	for _, trace := range slices.Concat(protected, [][]safepath.Location{d.trace}) {
		if _, yes := set.Writable(trace); yes {
			return nil
		}
	}
	return places
}

// claimOf resolves the paths of a document without problems.
func claimOf(d *declaration) claim {
	c := claim{declaration: d, agents: safepath.NewSet(d.places()...)}
	if proxy := d.Bottle.Spec.CredProxy; proxy != nil {
		c.referTo(v1alpha1.CredProxyField+".caBundle", proxy.CABundle, refFix)
		for i, r := range proxy.Routes {
			c.referToToken(parse.ElementOf(v1alpha1.RoutesField, i)+".token", r.Token)
		}
	}
	if agent := d.Bottle.Spec.Agent; agent != nil {
		c.claimAgent(agent)
	}
	for _, e := range d.Bottle.Spec.Environments() {
		for _, name := range slices.Sorted(maps.Keys(e.Env)) {
			c.referTo(scalar.FieldOf(e.Field, name), e.Env[name].File, refFix)
		}
	}
	return c
}

// referTo adds a path that nobody's agent must be able to write; none for "".
func (c *claim) referTo(field, name, fix string) {
	c.refs = appendPath(c.refs, field, name, fix)
}

func appendPath(list []hostPath, field, name, fix string) []hostPath {
	if name == "" {
		return list
	}
	trace, _, err := safepath.Trace(name)
	if err != nil {
		return list // the bottle is not made for the same reason
	}
	return append(list, hostPath{field, name, trace, fix})
}

// referToToken adds the paths of a token: its file, or those among the words of its command.
func (c *claim) referToToken(field string, token route.SecretRef) {
	c.referTo(field, token.File, refFix)
	for _, word := range token.Exec {
		if path.IsAbs(word) {
			c.referTo(field, word, refFix)
		}
	}
}

func (c *claim) claimAgent(agent *v1alpha1.Agent) {
	for i, path := range agent.EnvFile {
		c.referTo(parse.ElementOf(v1alpha1.EnvFileField, i), path, refFix)
	}
	if agent.Build != nil {
		c.referTo(v1alpha1.BuildField+".context", agent.Build.Context, contextFix)
		if trace, _, err := safepath.Trace(agent.Build.Context); err == nil {
			c.context = &trace[len(trace)-1]
		}
	}
	for i, m := range agent.Mounts {
		c.mounts = appendPath(c.mounts, parse.ElementOf(v1alpha1.MountsField, i)+".source", m.Source,
			fmt.Sprintf("mount something outside of that directory, or mount it over itself: with the other mount at DIR, target: DIR/%s", path.Base(m.Source)))
	}
}

// attack is a reason to refuse a document: an agent can write what it consists of or refers to.
type attack struct {
	by         safepath.Place
	field, fix string // field is "" for the document's own file
}

// attackedBy finds out whether an agent could change what a claim stands for.
func (c claim) attackedBy(writable safepath.Set) (attack, bool) {
	if by, yes := writable.Writable(c.trace); yes {
		return attack{by: by, fix: "move this file out of that directory, mount another one, or mount it with readOnly: true"}, true
	}
	for _, r := range c.refs {
		if by, ok := writable.Usable(r.trace); !ok {
			return attack{by, r.field, r.fix}, true
		}
	}
	for _, r := range c.mounts {
		if by, ok := writable.Mountable(r.trace); !ok {
			return attack{by, r.field, r.fix}, true
		}
	}
	if c.context != nil {
		for _, by := range writable.Places() {
			if _, inside := by.Location.Within(*c.context); inside && !by.Former {
				return attack{by, v1alpha1.BuildField + ".context", contextFix}, true
			}
		}
	}
	return attack{}, false
}

// refuse reports an attack on the claim.
func (c claim) refuse(a attack) {
	err := (&safepath.Error{Place: a.by}).Error()
	if a.field == "" {
		c.Declares = false // it doesn't take its name away from another document either
		c.Report(parse.WholeDocument, err, a.fix)
		return
	}
	c.Report(a.field, err, a.fix)
}

// judge refuses the documents that agents can write, or whose files agents can write, and returns what agents can write or
// could. Documents that were valid before are judged without the others, and one of the others is refused when it would make an
// accepted one writable: no new document harms an old one.
func judge(documents []*declaration, known Known) safepath.Set {
	var old, others []claim
	valid := map[string]bool{}
	for _, d := range documents {
		if !d.Declares || !d.IsValid() {
			continue
		}
		valid[d.Slug] = true
		if known.Sources[d.Slug] == d.File.Abs {
			old = append(old, claimOf(d))
		} else {
			others = append(others, claimOf(d))
		}
	}
	seeds := known.remaining(documents, func(slug string) bool { return !valid[slug] })
	accepted, writable := accept(old, nil, safepath.NewSet(seeds...))
	_, writable = accept(others, accepted, writable)
	return writable.With(known.remaining(documents, func(slug string) bool { return valid[slug] })...)
}

// refuseWritablePolicies refuses the policies that an agent can write: it would approve its own proposals.
func refuseWritablePolicies(documents []*declaration, writable safepath.Set) {
	for _, d := range documents {
		if d.Policy == nil {
			continue
		}
		if by, yes := writable.Writable(d.trace); yes {
			d.Report(parse.WholeDocument, (&safepath.Error{Place: by}).Error(), "move this file out of that directory, mount another one, or mount it with readOnly: true")
		}
	}
}

// remaining returns the known places of bottles that count in addition to those declared now. A bottle whose document is
// refused continues as declared before; the agent of any other one may have been the last to write there.
func (k Known) remaining(documents []*declaration, of func(slug string) bool) []safepath.Place {
	refused, current := map[string]bool{}, map[string][]safepath.Location{}
	for _, d := range documents {
		refused[d.Slug] = refused[d.Slug] || !d.IsValid()
		for _, p := range d.places() {
			current[d.Slug] = append(current[d.Slug], p.Location)
		}
	}
	var places []safepath.Place
	for _, p := range k.Writable.Places() {
		if !of(p.Bottle) || slices.Contains(current[p.Bottle], p.Location) {
			continue
		}
		p.Former = p.Former || !refused[p.Bottle]
		places = append(places, p)
	}
	return places
}

// accept decides about claims, given those that were accepted already and everything that is writable so far.
func accept(open, accepted []claim, writable safepath.Set) ([]claim, safepath.Set) {
	for progress := true; progress && len(open) > 0; {
		n := len(open)
		open = slices.DeleteFunc(open, func(c claim) bool { return c.isRefused(accepted, writable) })
		free, contested := unopposed(open)
		writable = writable.With(placesOf(free)...)
		accepted, open = append(accepted, free...), contested
		progress = len(open) < n
	}
	for _, c := range open { // they speak against each other
		for _, other := range open {
			if a, yes := c.attackedBy(other.agents); yes {
				c.refuse(a)
				break
			}
		}
	}
	return accepted, writable
}

// isRefused reports what speaks against a claim for certain: itself, what is writable, or that it would make an accepted one
// writable.
func (c claim) isRefused(accepted []claim, writable safepath.Set) bool {
	for _, set := range []safepath.Set{writable, c.agents} {
		if a, yes := c.attackedBy(set); yes {
			c.refuse(a)
			return true
		}
	}
	for _, other := range accepted {
		if a, yes := other.attackedBy(c.agents); yes {
			c.Report(a.by.Field, fmt.Sprintf("with it the agent could write what bottle %s (%s) is made of", other.Slug, other.Where()),
				"mount another directory, or mount it with readOnly: true")
			return true
		}
	}
	return false
}

// unopposed splits claims into those that no other one speaks against, and the rest.
func unopposed(open []claim) (free, contested []claim) {
	all := safepath.NewSet(placesOf(open)...)
	for _, c := range open {
		if _, yes := c.attackedBy(all); yes {
			contested = append(contested, c)
		} else {
			free = append(free, c)
		}
	}
	return free, contested
}

func placesOf(claims []claim) []safepath.Place {
	var places []safepath.Place
	for _, c := range claims {
		places = append(places, c.agents.Places()...)
	}
	return places
}
