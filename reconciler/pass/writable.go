package pass

import (
	"path"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/resolve"
)

// recordWritable remembers what the existing containers of one bottle, or of all with slug "", can write: a container may have been
// made from an older declaration than the one in a snapshot.
func (r *Reconciler) recordWritable(have observe.Observed, slug string) {
	found := map[string][]writtenPlace{}
	for _, c := range have.Containers {
		found[c.Slug()] = append(found[c.Slug()], writableBy(c)...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slug == "" {
		r.running = found
		return
	}
	if r.running == nil {
		r.running = map[string][]writtenPlace{}
	}
	r.running[slug] = found[slug]
}

// writtenPlace is a place that the container of an agent, or of a session, can write.
type writtenPlace struct {
	safepath.Place
	by state.ComponentName
}

func writableBy(c observe.ObservedContainer) []writtenPlace {
	if !kinds.All.Of(c.Component()).Workload {
		return nil
	}
	var places []writtenPlace
	for _, m := range c.Container.Mounts {
		if m.ReadOnly {
			continue
		}
		p, err := safepath.NewPlace(m.Source)
		if err != nil {
			continue // it does not exist any more: nobody can write there
		}
		p.Bottle, p.Field, p.Where = c.Slug(), "its mount at "+m.Target, "container "+c.Name
		for _, other := range c.Container.Mounts {
			if name := path.Base(other.Source); other.Target == m.Target+"/"+name && other.Source == m.Source+"/"+name {
				p.Covered = append(p.Covered, name)
			}
		}
		places = append(places, writtenPlace{p, c.Component()})
	}
	return places
}

// buildReader returns the one reader of build contexts. r.mu is held.
func (r *Reconciler) buildReader() *buildcontext.Reader {
	if r.builds == nil {
		r.builds = &buildcontext.Reader{}
	}
	return r.builds
}

// inputReader returns a reader of a bottle's inputs that refuses what agents can write: declared ones, and running ones. The bottle's
// own running agent does not count, since it is removed before another one is created.
func (r *Reconciler) inputReader(slug string, declared safepath.Set) resolve.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	var running []safepath.Place
	for of, places := range r.running {
		for _, p := range places {
			if of != slug || p.by != state.Agent {
				running = append(running, p.Place)
			}
		}
	}
	reader := resolve.Reader{Settings: r.Settings, Getenv: r.Getenv, Builds: r.buildReader(), Dockerfile: r.dockerfile, Commands: r.TokenCommands, Writable: declared.With(running...)}
	if r.users != nil {
		reader.ContainerIDs = r.users.ContainerIDs
	}
	return reader
}
