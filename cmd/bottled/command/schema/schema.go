// Package schema is bottled schema.
package schema

import (
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/manifests/rules"
)

// New makes the command.
func New(f *command.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of manifests, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := rules.Schema()
			if err != nil {
				return err
			}
			return f.Out.Data(append(schema, '\n'))
		},
	}
}
