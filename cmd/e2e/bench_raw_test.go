package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
)

// raw makes the same networks and containers as bottled with nothing but the engine's API: it reads, compares and waits
// for nothing. state/docker makes one request a call, and one more for a container's second network.
type raw struct {
	tb       testing.TB
	engine   *docker.Engine
	settings state.Settings
	bottles  []state.Bottle
}

// newRaw derives the containers from another Env's manifests, with an owner, names and subnets of their own, and writes
// the files that they mount.
func newRaw(tb testing.TB, of *harness.Env) *raw {
	tb.Helper()
	own := harness.New(tb)
	r := &raw{tb: tb}
	image, err := selfimage.Of(harness.Binary(tb), "bottled")
	r.must(err)
	r.engine, err = docker.Connect(tb.Context(), state.Settings{})
	r.must(err)
	tb.Cleanup(func() { _ = r.engine.Close() })
	r.must(image.Load(tb.Context(), r.engine)) // so that no cold start measures it
	s := service.Settings{
		Owner: own.Owner, Prefix: own.Prefix, StateDir: own.StateDir, RunDir: filepath.Join(own.StateDir, "run"), SubnetPool: own.Pool,
	}
	r.settings, err = s.StateSettings(image.Ref)
	r.must(err)
	r.desire(of.Manifests)
	return r
}

func (r *raw) must(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatal(err)
	}
}

func (r *raw) desire(dir string) {
	r.tb.Helper()
	snapshot, err := source.Load(dir)
	r.must(err)
	var slugs []string
	for _, m := range snapshot.Bottles {
		slugs = append(slugs, m.Metadata.Name)
	}
	subnets, failed := state.Allocate(r.settings.Pool, slugs, nil, nil)
	for _, err := range failed {
		r.must(err)
	}
	for _, m := range snapshot.Bottles {
		in, err := resolve.Reader{Settings: r.settings, Getenv: os.LookupEnv}.Read(m)
		r.must(err)
		b, err := render.Bottle(m, in, subnets[m.Metadata.Name], r.settings)
		r.must(err)
		for _, d := range b.Dirs {
			r.write(d)
		}
		r.bottles = append(r.bottles, b)
	}
}

func (r *raw) write(d state.Dir) {
	r.tb.Helper()
	u, g, _ := strings.Cut(r.settings.User, ":")
	uid, err := strconv.Atoi(u)
	r.must(err)
	gid, err := strconv.Atoi(g)
	r.must(err)
	r.must(os.MkdirAll(d.Path, 0o755))
	r.must(os.Chown(d.Path, uid, gid))
	for name, f := range d.Files {
		path := filepath.Join(d.Path, name)
		r.must(os.WriteFile(path, f.Content.Reveal(), os.FileMode(f.Mode)))
		r.must(os.Chown(path, uid, gid))
	}
}

// up makes and starts everything, bottle beside bottle.
func (r *raw) up(ctx context.Context, parallel int, bottles []state.Bottle) error {
	return each(parallel, bottles, func(b state.Bottle) error {
		for _, n := range b.Networks {
			if _, err := r.engine.CreateNetwork(ctx, n); err != nil {
				return err
			}
		}
		for _, m := range b.Components {
			if err := r.run(ctx, m.Container); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *raw) run(ctx context.Context, c state.Container) error {
	id, err := r.engine.CreateContainer(ctx, c)
	if err != nil {
		return err
	}
	return r.engine.StartContainer(ctx, id, c.Mounts)
}

// replace makes one container anew.
func (r *raw) replace(ctx context.Context, c state.Container) error {
	if err := r.engine.RemoveContainer(ctx, c.Name); err != nil {
		return err
	}
	return r.run(ctx, c)
}

// down kills and removes all containers, then all networks.
func (r *raw) down(ctx context.Context, parallel int, bottles []state.Bottle) error {
	var containers []state.Container
	var networks []state.Network
	for _, b := range bottles {
		for _, m := range b.Components {
			containers = append(containers, m.Container)
		}
		networks = append(networks, b.Networks...)
	}
	err := each(parallel, containers, func(c state.Container) error { return r.engine.RemoveContainer(ctx, c.Name) })
	if err != nil {
		return err
	}
	return each(parallel, networks, func(n state.Network) error { return r.engine.RemoveNetwork(ctx, n.Name) })
}

// look reads what any comparison has to read.
func (r *raw) look(ctx context.Context, owner string) error {
	if _, err := r.engine.Containers(ctx, owner, ""); err != nil {
		return err
	}
	if _, err := r.engine.Networks(ctx); err != nil {
		return err
	}
	_, err := r.engine.Images(ctx, []string{r.settings.BuiltinImage})
	return err
}

func each[T any](parallel int, all []T, do func(T) error) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, one := range all {
		group.Go(func() error { return do(one) })
	}
	return group.Wait()
}
