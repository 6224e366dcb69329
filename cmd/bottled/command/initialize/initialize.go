// Package initialize is bottled init.
package initialize

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/docs/recipes"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Options of the command.
type Options struct {
	command.Streams
	Bottle string
	Agent  string // name of a recipe
	File   string // "" for BOTTLE.yaml, - for stdout
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Agent: "shell"}
	var names []string
	for _, r := range recipes.All() {
		names = append(names, r.Name)
	}
	cmd := &cobra.Command{
		Use:   "init BOTTLE",
		Short: "Write a manifest to begin with",
		Long: `Write a manifest with comments for a bottle and, if its image is built, the directory BOTTLE next to it with the Dockerfile. Nothing is
overwritten, and nothing is run. With -f - the manifest is printed, and nothing is written.

The agents and tools are the recipes of docs/recipes.`,
		Example: `  bottled init dev --agent claude
  bottled init dev --agent shell -f bottles/dev.yaml
  bottled init dev --agent codex -f - | less`,
		Args:              command.ExactlyOne("bottle"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			opts.Bottle = args[0]
			if !v1alpha1.IsName(opts.Bottle) {
				return exit.Usage(fmt.Errorf("%q can't be the name of a bottle: use lower-case letters, digits and inner dashes, at most 40 characters", opts.Bottle))
			}
			if runF != nil {
				return runF(opts)
			}
			return run(opts)
		},
	}
	cmd.Flags().Var(command.Choice(&opts.Agent, names...), "agent", "`agent` or tool that the bottle is for: "+command.OneOf(names))
	cmd.Flags().StringVarP(&opts.File, "filename", "f", "", "`file` to write (default BOTTLE.yaml); - for stdout")
	return cmd
}

func run(opts *Options) error {
	recipe := recipes.Recipe{Name: opts.Agent}
	manifest, err := recipe.Manifest(opts.Bottle)
	if err != nil {
		return err
	}
	if opts.File == "-" {
		return opts.Out.Manifest([]byte(manifest))
	}
	image, err := recipe.Image()
	if err != nil {
		return err
	}
	path := opts.File
	if path == "" {
		path = opts.Bottle + ".yaml"
	}
	files := map[string][]byte{}
	for name, content := range image {
		files[filepath.Join(filepath.Dir(path), opts.Bottle, filepath.FromSlash(name))] = content
	}
	paths := append(slices.Sorted(maps.Keys(files)), path) // the manifest last: a controller may watch the directory
	files[path] = []byte(manifest)
	if err := writeAll(paths, files); err != nil {
		return err
	}
	for _, path := range paths {
		if err := opts.Out.Line("wrote %s", path); err != nil {
			return err
		}
	}
	return opts.Out.Line("Read and edit it. Then: bottled validate %s", path)
}

// writeAll writes new files, or none if one of them is there.
func writeAll(paths []string, files map[string][]byte) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return exists(path, err)
		}
	}
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // manifests are no secret
			return err
		}
		if err := write(path, files[path]); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // manifests are no secret
	if errors.Is(err, fs.ErrExist) {
		return exists(path, nil)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func exists(path string, err error) error {
	if err != nil {
		return err
	}
	return exit.Usage(fmt.Errorf("%s is there already, and nothing was written: choose another file with -f, or remove it", path))
}
