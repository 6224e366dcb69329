package conformance

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// run is one test, with its own network and names.
type run struct {
	*testing.T
	Subject
	slug string
}

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *run) want(err, kind error) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Errorf("got error %v, want %v", err, kind)
	}
}

// eventually waits until a condition holds, as long as the subject allows.
func (r *run) eventually(what string, condition func() bool) {
	r.Helper()
	for deadline := time.Now().Add(r.Within); !condition(); {
		if time.Now().After(deadline) {
			r.Fatalf("not within %s: %s", r.Within, what)
		}
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (r *run) labels(role string) map[string]string {
	return map[string]string{state.LabelOwner: r.Settings.Owner, state.LabelSlug: r.slug, state.LabelRole: role, state.LabelStateDir: r.Settings.StateDir}
}

// network creates an internal network with the n-th subnet of the pool.
func (r *run) network(name string, n byte) engine.ObservedNetwork {
	r.Helper()
	made, err := r.Engine.CreateNetwork(r.Context(), r.networkOf(name, n))
	r.must(err)
	r.Cleanup(func() { r.must(r.Engine.RemoveNetwork(context.WithoutCancel(r.Context()), made.ID)) })
	return made
}

func (r *run) networkOf(name string, n byte) state.Network {
	base := r.Settings.Pool.Masked().Addr().As4()
	base[3] += 16 * n
	return state.Network{
		Name: r.Settings.Prefix + "-" + name, Subnet: netip.PrefixFrom(netip.AddrFrom4(base), 28), Internal: true, Isolated: true, Labels: r.labels("internal"),
	}
}

func (r *run) container(name, network string) state.Container {
	return state.Container{
		Name: r.Settings.Prefix + "-" + name, Image: r.Agent, Command: r.Waits, Env: map[string]string{"A": "b"}, Labels: r.labels("agent"),
		Networks: []state.Attachment{{Network: network, Aliases: []string{"alias"}}}, DNS: []string{"127.0.0.1"}, CapDrop: []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges"}, Limits: state.Limits{Memory: 64 << 20, Pids: 32}, Restart: "no",
		Log: state.Log{Driver: "json-file", Options: map[string]string{"max-size": "1m"}}, Additions: state.Additions{Init: true, QuickDNS: true, Env: map[string]string{"ADDED": "1"}},
	}
}

// create creates a container that is removed at the end.
func (r *run) create(c state.Container) string {
	r.Helper()
	id, err := r.Engine.CreateContainer(r.Context(), c)
	r.must(err)
	r.Cleanup(func() { r.must(r.Engine.RemoveContainer(context.WithoutCancel(r.Context()), id)) })
	return id
}

func (r *run) start(c state.Container) string {
	r.Helper()
	id := r.create(c)
	r.must(r.Engine.StartContainer(r.Context(), id, c.Mounts))
	return id
}

// find returns what the listing shows of a container.
func (r *run) find(id string) (engine.Summary, bool) {
	r.Helper()
	all, err := r.Engine.Containers(r.Context(), r.Settings.Owner, r.slug)
	r.must(err)
	i := slices.IndexFunc(all, func(s engine.Summary) bool { return s.ID == id })
	if i < 0 {
		return engine.Summary{}, false
	}
	return all[i], true
}

// observed returns a container as an observation shows it.
func (r *run) observed(id string) observe.ObservedContainer {
	r.Helper()
	s, _ := r.find(id)
	detail, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	return observe.ObservedContainer{Summary: s, Detail: detail}
}

func (r *run) shows(id, containerState string) {
	r.Helper()
	r.eventually("the listing shows it as "+containerState, func() bool {
		s, ok := r.find(id)
		return ok && s.State == containerState
	})
}
