package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

const (
	// buildLimit bounds one build, however much it does: a RUN step may wait for ever.
	buildLimit = 30 * time.Minute
	// pullLimit bounds one pull, loadLimit the load of bottled's own image.
	pullLimit = 30 * time.Minute
	loadLimit = 5 * time.Minute
)

// image gets an image that the engine does not have. Many bottles may wait for the same one, and it may have come since the
// plan was made.
func (r *execution) image(ctx context.Context, ref string, get func(ctx context.Context, ref string) error) error {
	for {
		err := r.imageOnce(ctx, ref, get)
		if !errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return err
		}
		// The bottle that was getting it was interrupted, not this one.
	}
}

func (r *execution) imageOnce(ctx context.Context, ref string, get func(ctx context.Context, ref string) error) error {
	_, err, _ := r.images.Do(ref, func() (any, error) {
		list, cancel := limited(ctx, callLimit)
		defer cancel()
		have, err := r.Engine.Images(list, []string{ref})
		if err != nil || have[ref] != "" {
			return nil, err
		}
		return nil, get(ctx, ref)
	})
	return err
}

// fetch loads or pulls an image.
func (r *execution) fetch(ctx context.Context, ref string) error {
	if ref == r.Settings.BuiltinImage {
		ctx, cancel := limited(ctx, loadLimit)
		defer cancel()
		return r.BuiltinImage.Load(ctx, r.Engine)
	}
	ctx, cancel := limited(ctx, pullLimit)
	defer cancel()
	return r.Engine.PullImage(ctx, ref)
}

// limited bounds a call of an engine that may hang.
func limited(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w within %s", engine.ErrUnavailable, limit))
}

// build builds an image.
type build struct {
	*execution
	from *buildcontext.Context
}

// image sends the context as it is read. When that is not any more what the image's name stands for, the archive breaks off,
// and there is no image.
func (b build) image(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, buildLimit, fmt.Errorf("it takes longer than %s", buildLimit))
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
		return failed // what the engine says is only that the archive broke off
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	}
	return b.explain(err)
}

// explain adds what may have been missing.
func (b build) explain(err error) error {
	if b.from.Network != string(manifests.BuildNetworkNone) || !strings.Contains(err.Error(), "returned a non-zero code") {
		return err
	}
	return fmt.Errorf("%w\n    RUN steps have no network, unless the manifest says spec.agent.build.network: default", err)
}
