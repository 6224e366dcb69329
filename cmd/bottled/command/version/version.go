// Package version is bottled version.
package version

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

// New makes the command.
func New(f *command.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return f.Out.Line("bottled %s %s %s/%s", service.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
