package root

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/rules"
)

// printing makes a command that prints a text and needs nothing for it.
func printing(f *command.Factory, name, short string, text func() ([]byte, error)) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: command.NoArgs, RunE: func(*cobra.Command, []string) error {
		printed, err := text()
		if err != nil {
			return err
		}
		return f.Out.Data(append(printed, '\n'))
	}}
}

func schema(f *command.Factory) *cobra.Command {
	return printing(f, "schema", "Print the JSON Schema of manifests, for editors", rules.Schema)
}

func version(f *command.Factory) *cobra.Command {
	return printing(f, "version", "Print the version", func() ([]byte, error) {
		return fmt.Appendf(nil, "bottled %s %s %s/%s", service.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH), nil
	})
}
