package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	buildTimeout = 30 * time.Minute // of one build: a RUN step may hang
	pullTimeout  = 30 * time.Minute // of one pull
	loadTimeout  = 5 * time.Minute  // of loading bottled's own image
)

// ensureImage gets an image unless the engine has it by now. Concurrent bottles share one get.
func (r *execution) ensureImage(ctx context.Context, ref string, get func(ctx context.Context, ref string) error) error {
	for {
		err := r.ensureImageOnce(ctx, ref, get)
		if !errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return err
		}
		// The bottle that ran the shared get was interrupted, not this one: try again.
	}
}

func (r *execution) ensureImageOnce(ctx context.Context, ref string, get func(ctx context.Context, ref string) error) error {
	_, err, _ := r.images.Do(ref, func() (any, error) {
		list, cancel := withCallTimeout(ctx, callTimeout)
		defer cancel()
		have, err := r.Engine.Images(list, []string{ref})
		if err != nil || have[ref] != "" {
			return nil, err
		}
		return nil, get(ctx, ref)
	})
	return err
}

// fetchImage loads the built-in image, or pulls any other.
func (r *execution) fetchImage(ctx context.Context, ref string) error {
	if ref == r.Settings.BuiltinImage {
		ctx, cancel := withCallTimeout(ctx, loadTimeout)
		defer cancel()
		return r.BuiltinImage.Load(ctx, r.Engine)
	}
	ctx, cancel := withCallTimeout(ctx, pullTimeout)
	defer cancel()
	return r.Engine.PullImage(ctx, ref)
}

// withCallTimeout returns a context that ends after limit, with a cause that wraps engine.ErrUnavailable.
func withCallTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w within %s", engine.ErrUnavailable, limit))
}

// imageBuild builds an image from a build context.
type imageBuild struct {
	*execution
	from *buildcontext.Context
}

// run streams the context to the engine while it is read. If the content is no longer the one that the image's reference is the
// digest of, the archive breaks off, which makes no image.
func (b imageBuild) run(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, buildTimeout, fmt.Errorf("the build takes longer than %s", buildTimeout))
	defer cancel()
	archive, in := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := b.from.Tar(in)
		in.CloseWithError(err)
		sent <- err
	}()
	err := b.Engine.BuildImage(ctx, engine.ImageBuild{
		Ref: ref, Dockerfile: b.from.Dockerfile, Network: b.from.Network, Labels: map[string]string{state.LabelBuild: b.from.Digest},
	}, archive)
	_ = archive.Close() // never fails
	switch failed := <-sent; {
	case err == nil:
		return nil
	case failed != nil && !errors.Is(failed, io.ErrClosedPipe):
		return failed // the engine's error only says that the archive broke off
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	}
	return b.withNetworkHint(err)
}

// withNetworkHint adds to the error of a failed RUN step that builds have no network unless the manifest says so.
func (b imageBuild) withNetworkHint(err error) error {
	if b.from.Network != string(v1alpha1.BuildNetworkNone) || !strings.Contains(err.Error(), "returned a non-zero code") {
		return err
	}
	return fmt.Errorf("%w\n    RUN steps have no network, unless the manifest says spec.agent.build.network: default", err)
}
