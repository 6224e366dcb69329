// Package web is bottled web.
package web

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
)

// Options of the command.
type Options struct {
	command.Streams
	Link     func(ctx context.Context, readOnly bool) (string, error)
	ReadOnly bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Link: f.Service.PageLink}
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Print a link to the controller's web page",
		Long: `Print a link to the web page of the controller: what agents ask for, all bottles, and what each does. The link works once, for two minutes, and
opens a session in your browser, in which you decide as yourself. The controller has to listen on a loopback address (reconcile --listen).

From another machine, forward that port first: ssh -L 9300:127.0.0.1:9300 HOST.`,
		Example: `  bottled web
  bottled web --read-only`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return command.Run(cmd.Context(), opts, runF, run) },
	}
	cmd.Flags().BoolVar(&opts.ReadOnly, "read-only", false, "a session that can change nothing")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	link, err := opts.Link(ctx, opts.ReadOnly)
	if err != nil {
		return err
	}
	return opts.Out.Line("%s", link)
}
