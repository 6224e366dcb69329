package fake

import (
	"context"
	"fmt"
	"io"

	"github.com/bot-bottle/bottled/state/engine"
)

// Images returns the IDs of the references that the engine has.
func (e *Engine) Images(ctx context.Context, refs []string) (map[string]string, error) {
	found := map[string]string{}
	err := e.read(ctx, func() error {
		for _, ref := range refs {
			if img, ok := e.images[ref]; ok {
				found[ref] = img.id
			}
		}
		return nil
	})
	return found, err
}

// LoadImage takes the archive's content for the reference of an image that runs nothing.
func (e *Engine) LoadImage(ctx context.Context, archive io.Reader) error {
	ref, err := io.ReadAll(archive)
	if err != nil {
		return err
	}
	return e.write(ctx, func() error {
		e.addImage(string(ref), engine.ImageDefaults{})
		return nil
	})
}

// PullImage asks the registry of the options.
func (e *Engine) PullImage(ctx context.Context, ref string) error {
	return e.write(ctx, func() error {
		if e.options.Pull == nil {
			return fmt.Errorf("pull image %s: %w", ref, engine.ErrNotFound)
		}
		defaults, err := e.options.Pull(ref)
		if err == nil {
			e.addImage(ref, defaults)
		}
		return err
	})
}

// BuildImage reads the archive and makes an image that runs nothing.
func (e *Engine) BuildImage(ctx context.Context, b engine.ImageBuild, archive io.Reader) error {
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return fmt.Errorf("build image %s: %w", b.Ref, err)
	}
	return e.write(ctx, func() error {
		e.addImage(b.Ref, engine.ImageDefaults{})
		return nil
	})
}

// AddImage puts an image on the engine, or moves its reference to another one.
func (e *Engine) AddImage(ref string, defaults engine.ImageDefaults) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addImage(ref, defaults)
}
