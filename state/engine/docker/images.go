package docker

import (
	"context"
	"errors"
	"io"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/jsonmessage"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Images returns image IDs by reference; references that the engine does not have are missing.
func (e *Engine) Images(ctx context.Context, refs []string) (map[string]string, error) {
	found := map[string]string{}
	if len(refs) == 0 {
		return found, nil
	}
	args := filters.NewArgs()
	for _, ref := range refs {
		args.Add("reference", ref)
	}
	list, err := e.client.ImageList(ctx, image.ListOptions{Filters: args})
	if err != nil {
		return nil, wrap(err, "list images")
	}
	ids := map[string]string{}
	for _, img := range list {
		for _, name := range append(img.RepoTags, img.RepoDigests...) {
			ids[familiarName(name)] = img.ID
		}
	}
	for _, ref := range refs {
		if id, ok := ids[familiarName(ref)]; ok {
			found[ref] = id
		}
	}
	return found, nil
}

// familiarName returns a reference as the engine spells it: alpine is alpine:latest.
func familiarName(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref // an image ID
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

// LoadImage loads a docker-save archive.
func (e *Engine) LoadImage(ctx context.Context, archive io.Reader) error {
	resp, err := e.client.ImageLoad(ctx, archive)
	if err != nil {
		return wrap(err, "load image")
	}
	return wrap(errors.Join(readProgress(resp.Body), resp.Body.Close()), "load image")
}

// PullImage pulls an image with the credentials of `docker login`.
func (e *Engine) PullImage(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return wrap(err, "pull image %s", ref)
	}
	auth, err := e.config.GetAuthConfig(authKey(reference.Domain(named)))
	if err != nil {
		return wrap(err, "pull image %s: stored credentials", ref)
	}
	encoded, err := registry.EncodeAuthConfig(registry.AuthConfig{
		Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		ServerAddress: auth.ServerAddress, IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	})
	if err != nil {
		return wrap(err, "pull image %s: stored credentials", ref)
	}
	progress, err := e.client.ImagePull(ctx, reference.FamiliarString(reference.TagNameOnly(named)), image.PullOptions{RegistryAuth: encoded})
	if err == nil {
		err = errors.Join(readProgress(progress), progress.Close())
	}
	return wrap(adviseImage(err), "pull image %s", ref)
}

// authKey returns the key under which the docker CLI stores a registry's credentials.
func authKey(domain string) string {
	if domain == "docker.io" {
		return "https://index.docker.io/v1/"
	}
	return domain
}

// readProgress reads a progress stream to its end, where Docker puts the error.
func readProgress(r io.Reader) error {
	return jsonmessage.DisplayJSONMessagesStream(r, io.Discard, 0, false, nil)
}

// imageEnv returns the environment of a container's image as far as the container depends on it: for its additions.
func (e *Engine) imageEnv(ctx context.Context, c state.Container) (map[string]string, error) {
	if len(c.Additions.Env) == 0 {
		return nil, nil
	}
	img, err := e.client.ImageInspect(ctx, c.Image)
	if err != nil {
		return nil, wrap(err, "create container %s", c.Name)
	}
	if img.Config == nil {
		return nil, nil
	}
	return envMap(img.Config.Env), nil
}

func (e *Engine) imageDefaults(ctx context.Context, id string) (engine.ImageDefaults, error) {
	e.mu.Lock()
	defaults, ok := e.images[id]
	e.mu.Unlock()
	if ok {
		return defaults, nil
	}
	img, err := e.client.ImageInspect(ctx, id)
	if err != nil {
		return engine.ImageDefaults{}, wrap(err, "inspect image %s", id)
	}
	if c := img.Config; c != nil {
		defaults = engine.ImageDefaults{Entrypoint: c.Entrypoint, Command: c.Cmd, Env: envMap(c.Env), User: c.User, WorkDir: c.WorkingDir}
	}
	e.mu.Lock()
	e.images[id] = defaults
	e.mu.Unlock()
	return defaults, nil
}
