// Package allow is bottled allow.
package allow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
)

// Service is where hosts are allowed: a [service.Service].
type Service interface {
	command.Answers
	Allow(ctx context.Context, bottle string, request reconciler.AllowRequest) (id string, err error)
}

// Options of the command.
type Options struct {
	command.Streams
	Service Service
	Bottle  string
	Hosts   []string
	For     time.Duration
	Note    string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service}
	cmd := &cobra.Command{
		Use:   "allow BOTTLE HOST[:PORT]…",
		Short: "Let a bottle reach a host, without being asked",
		Long: `Let a bottle reach a host: the controller adds it to spec.egress.allowlist of the bottle's manifest, keeps the rest of the file as it is, and makes
the bottle so. The port is 443 unless another one is given. If the bottle does not become ready with the change, it is taken back, and the exit
code is 1. "bottled traffic BOTTLE --denied" shows what the bottle was refused. To take a host away again, edit the manifest.`,
		Example: `  bottled allow dev registry.npmjs.org
  bottled allow dev deb.debian.org:80 security.debian.org:80 --for 1h`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("name a bottle and at least one host")
			}
			return nil
		},
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.Bottle, opts.Hosts = args[0], args[1:]; opts.For < 0 {
				return exit.Usage(fmt.Errorf("--for %s: give a duration such as 2h", opts.For))
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().DurationVar(&opts.For, "for", 0, "how long, such as 2h (default: until the manifest is changed)")
	cmd.Flags().StringVar(&opts.Note, "note", "", "`text` for the audit log")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	var failed []error
	var allowed []reconciler.Proposal
	for _, host := range opts.Hosts {
		id, err := opts.Service.Allow(ctx, opts.Bottle, reconciler.AllowRequest{Host: host, For: opts.For, Notes: opts.Note})
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", host, err))
			continue
		}
		allowed = append(allowed, reconciler.Proposal{ID: id})
	}
	return errors.Join(append(failed, opts.AwaitAnswers(ctx, opts.Service, allowed))...)
}
