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

// BuildImage builds an image with the classic builder, which every engine has and which needs no session with the client. Base images
// are pulled with the credentials of `docker login`; RUN steps don't get them.
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
	return wrap(errors.Join(followBuild(resp.Body), resp.Body.Close()), "build image %s", b.Ref)
}

// followBuild reads a build's progress to its end. Only a build that reported its image's ID succeeded: an engine that dies in between
// just ends the stream.
func followBuild(progress io.Reader) error {
	var out outputTail
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
			return fmt.Errorf("%s%s%s", printable.Line(m.Error.Message), adviseBase(out.lines()), engine.QuoteOutput(out.lines()))
		}
		built = built || m.Aux != nil
		out.add(colourStripper.Replace(m.Stream))
	}
}

// maxOutputTail is the number of last bytes of a build's output that are kept for an error.
const maxOutputTail = 16 << 10

// outputTail keeps the last maxOutputTail bytes of a text.
type outputTail struct{ text string }

func (t *outputTail) add(more string) {
	t.text += more
	t.text = t.text[max(0, len(t.text)-maxOutputTail):]
}

// colourStripper removes the colours that the builder adds to the stderr of commands.
var colourStripper = strings.NewReplacer("\x1b[91m", "", "\x1b[0m", "")

// lines returns the lines of the output minus the builder's own about layers and containers.
func (t *outputTail) lines() []string {
	var lines []string
	for line := range strings.Lines(t.text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--->") && !strings.HasPrefix(line, "Removing intermediate container ") {
			lines = append(lines, line)
		}
	}
	return lines
}
