package execute

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// builder is an engine that builds images, and knows nothing else: any other call panics.
type builder struct {
	engine.Engine
	building func(ctx context.Context) error // called when the context was read; nil: nothing goes wrong

	mu     sync.Mutex
	images map[string]string
	builds []engine.ImageBuild
	files  []string // of the last complete archive
}

func (b *builder) Images(_ context.Context, refs []string) (map[string]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	have := map[string]string{}
	for _, ref := range refs {
		if id, ok := b.images[ref]; ok {
			have[ref] = id
		}
	}
	return have, nil
}

func (b *builder) BuildImage(ctx context.Context, o engine.ImageBuild, archive io.Reader) error {
	b.mu.Lock()
	b.builds = append(b.builds, o)
	b.mu.Unlock()
	var files []string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return fmt.Errorf("500: unexpected end of the archive: %w", err)
		}
		files = append(files, h.Name)
	}
	if b.building != nil {
		if err := b.building(ctx); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.images[o.Ref], b.files = "sha256:built", files
	return nil
}

// buildWorld is a context, an engine without its image, and what a bottle's plan does about that.
type buildWorld struct {
	dir    string
	from   *buildcontext.Context
	engine *builder
	x      *Executor
}

func newBuildWorld(t *testing.T) *buildWorld {
	t.Helper()
	w := &buildWorld{dir: t.TempDir(), engine: &builder{images: map[string]string{}}}
	for name, content := range map[string]string{"Dockerfile": "FROM scratch", "file": "1"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var reader buildcontext.Reader
	from, err := reader.Read(buildcontext.Source{Dir: w.dir, Dockerfile: "Dockerfile", Network: "none"}, w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.from = from
	w.x = &Executor{Engine: w.engine, Parallel: 4, OnProgress: func(Progress) {}}
	return w
}

// plan builds, and then removes the running agent.
func (w *buildWorld) plan(slug string) plan.BottlePlan {
	steps := []plan.Step{{Action: plan.BuildImage, Component: state.Agent, Object: w.from.Ref(), Declared: state.Component{Build: w.from}}}
	if slug == "removes" {
		steps = append(steps, plan.Step{ID: 1, After: []int{0}, Action: plan.Remove, Component: state.Agent, Object: "agent", ContainerID: "id"})
	}
	return plan.BottlePlan{Slug: slug, Steps: steps}
}

func TestBuildOnce(t *testing.T) {
	w := newBuildWorld(t)
	var group errgroup.Group
	for _, slug := range []string{"a", "b", "c"} {
		group.Go(func() error { return w.x.Bottle(t.Context(), w.plan(slug)) })
	}
	if err := group.Wait(); err != nil || len(w.engine.builds) != 1 {
		t.Fatalf("%v, %d builds", err, len(w.engine.builds))
	}
	b := w.engine.builds[0]
	if b.Ref != w.from.Ref() || b.Dockerfile != "Dockerfile" || b.Network != "none" || b.Labels[state.LabelBuild] != w.from.Digest || len(b.Labels) != 1 {
		t.Errorf("%+v", b)
	}
	if got := strings.Join(w.engine.files, " "); got != "Dockerfile file" {
		t.Errorf("the engine got %s", got)
	}
}

// TestBuildFails: nothing comes after it, so that the agent that runs is left alone, and it is no reason to plan anew at once.
func TestBuildFails(t *testing.T) {
	w := newBuildWorld(t)
	w.engine.building = func(context.Context) error {
		return errors.New("the command returned a non-zero code: 1; the build's last output:\n    no such host")
	}
	err := w.x.Bottle(t.Context(), w.plan("removes")) // the builder panics when it is asked to remove
	var step *StepError
	if !errors.As(err, &step) || step.Step.Component != state.Agent || errors.Is(err, ErrStale) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"build " + w.from.Ref(), "no such host", "RUN steps have no network, unless"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
}

// TestBuildOfWhatChanged: an image of something else never gets the name, and a new plan is worth making.
func TestBuildOfWhatChanged(t *testing.T) {
	w := newBuildWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "file"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := w.x.Bottle(t.Context(), w.plan("a"))
	if !errors.Is(err, ErrStale) || !errors.Is(err, buildcontext.ErrChanged) || len(w.engine.images) > 0 {
		t.Errorf("%v, images %v", err, w.engine.images)
	}
}

// TestBuildInterrupted has the bottle that builds interrupted; another one that waits for the same image builds it itself.
func TestBuildInterrupted(t *testing.T) {
	w := newBuildWorld(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	begun, waits := make(chan struct{}), make(chan struct{})
	first := true
	w.engine.building = func(ctx context.Context) error {
		if !first {
			return nil
		}
		first = false
		close(begun)
		<-waits
		interrupt(errNewer)
		<-ctx.Done()
		return fmt.Errorf("build: %w", ctx.Err())
	}
	interrupted, other := make(chan error, 1), make(chan error, 1)
	go func() { interrupted <- w.x.Bottle(ctx, w.plan("interrupted")) }()
	<-begun
	go func() { other <- w.x.Bottle(t.Context(), w.plan("other")) }()
	close(waits)
	if err := <-interrupted; !errors.Is(err, context.Canceled) || !errors.Is(err, errNewer) {
		t.Errorf("the interrupted one: %v", err)
	}
	if err := <-other; err != nil || w.engine.images[w.from.Ref()] == "" {
		t.Errorf("the other one: %v", err)
	}
}

// errNewer interrupts a build.
var errNewer = errors.New("there is a newer declaration")
