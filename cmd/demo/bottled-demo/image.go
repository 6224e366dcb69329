package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// Names of the image of this program.
const (
	repository = "bottled-demo"
	latest     = repository + ":latest" // what the bundled manifests name
)

func imageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "image",
		Short: "Load an image of this program into the engine and print its reference",
		Long: `Load an image of this program into the engine, as bottled-demo:DIGEST and bottled-demo:latest, and print the former.
The program must be static: CGO_ENABLED=0 go build ./cmd/demo/bottled-demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ref, err := loadImage(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ref)
			return err
		},
	}
}

// loadImage makes sure that the engine has the image of the running executable under both names.
func loadImage(ctx context.Context) (ref string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running executable: %w", err)
	}
	image, err := selfimage.Of(self, repository)
	if err != nil {
		return "", err
	}
	engine, err := docker.Connect(ctx, state.Settings{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	have, err := engine.Images(ctx, []string{image.Ref})
	if err != nil {
		return "", err
	}
	if have[image.Ref] == "" {
		if err := image.Load(ctx, engine); err != nil {
			return "", fmt.Errorf("load image %s: %w", image.Ref, err)
		}
	}
	out, err := exec.CommandContext(ctx, "docker", "tag", image.Ref, latest).CombinedOutput() //nolint:gosec // arguments of our own
	if err != nil {
		return "", fmt.Errorf("docker tag %s %s: %w: %s", image.Ref, latest, err, strings.TrimSpace(string(out)))
	}
	return image.Ref, nil
}
