package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/jsonmessage"

	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/printable"
)

// BuildImage builds with the engine's own builder, which every engine has, and needs no session with the client. For base images
// it pulls with the credentials that `docker login` stored; RUN steps get none of them.
func (e *Engine) BuildImage(ctx context.Context, b engine.ImageBuild, archive io.Reader) error {
	stored, err := e.config.GetAllCredentials()
	if err != nil {
		return wrap(err, "build image %s: stored credentials", b.Ref)
	}
	auth := map[string]registry.AuthConfig{}
	for host, a := range stored {
		auth[host] = registry.AuthConfig{
			Username: a.Username, Password: a.Password, Auth: a.Auth,
			ServerAddress: a.ServerAddress, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
		}
	}
	resp, err := e.client.ImageBuild(ctx, archive, build.ImageBuildOptions{
		Version: build.BuilderV1, Tags: []string{b.Ref}, Dockerfile: b.Dockerfile, NetworkMode: b.Network, Labels: b.Labels,
		AuthConfigs: auth, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return wrap(err, "build image %s", b.Ref)
	}
	return wrap(errors.Join(follow(resp.Body), resp.Body.Close()), "build image %s", b.Ref)
}

// follow reads a build's progress to its end. A build that succeeded told its image's ID; an engine that dies in the middle
// just ends the stream.
func follow(progress io.Reader) error {
	var out tail
	built := false
	for messages := json.NewDecoder(progress); ; {
		var m jsonmessage.JSONMessage
		err := messages.Decode(&m)
		switch {
		case errors.Is(err, io.EOF) && built:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: the build's output ended before the build%s", engine.ErrUnavailable, engine.QuoteOutput(out.lines()))
		case err != nil:
			return fmt.Errorf("%w%s", err, engine.QuoteOutput(out.lines()))
		case m.Error != nil:
			return fmt.Errorf("%s%s", printable.Line(m.Error.Message), engine.QuoteOutput(out.lines()))
		}
		built = built || m.Aux != nil
		out.add(plain.Replace(m.Stream))
	}
}

// tailSize is how many bytes of a build's output are kept to be quoted.
const tailSize = 16 << 10

// tail is the end of a text.
type tail struct{ text string }

func (t *tail) add(more string) {
	t.text += more
	t.text = t.text[max(0, len(t.text)-tailSize):]
}

// plain takes away the colours that the builder gives to what a command writes to stderr.
var plain = strings.NewReplacer("\x1b[91m", "", "\x1b[0m", "")

// lines are those that say something: not which layers and containers the builder made.
func (t *tail) lines() []string {
	var lines []string
	for line := range strings.Lines(t.text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--->") && !strings.HasPrefix(line, "Removing intermediate container ") {
			lines = append(lines, line)
		}
	}
	return lines
}
