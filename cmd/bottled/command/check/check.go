// Package check is bottled check.
package check

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
)

// Options of the command.
type Options struct {
	command.Streams
	Check  func(o service.CheckOptions, urls []string) ([]service.Check, error)
	Of     service.CheckOptions
	URLs   []string
	Output command.LineOutput
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Check: f.Service.Check}
	cmd := &cobra.Command{
		Use:   "check [--dir DIR]… BOTTLE URL…",
		Short: "Say whether a bottle's agent may make requests, and by which rule",
		Long: `Say whether a bottle's sidecars would let its agent make requests, and by which rule: an entry of the allowlist, a private
range, a route. A URL may be HOST or HOST:PORT, for a tunnel to it; routes are asked by http://cred-proxy:9099/PATH.

The rules are those that the bottle was declared with last or, with --dir, those of its manifest in directories. It needs
no engine, and asks no DNS: whether a name's addresses are allowed shows only when it is used.

The exit code is 0 when all are allowed, and 2 when one is refused.`,
		Example: `  bottled check dev https://api.github.com/repos
  bottled check --dir bottles dev registry.npmjs.org pypi.org:443`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("name a bottle and what its agent may ask for, as in: bottled check dev https://example.com")
			}
			return nil
		},
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(_ *cobra.Command, args []string) error {
			opts.Of.Bottle, opts.URLs = args[0], args[1:]
			if runF != nil {
				return runF(opts)
			}
			return run(opts)
		},
	}
	cmd.Flags().StringArrayVar(&opts.Of.Dirs, "dir", nil, "`directory` or file of manifests to ask instead of what was declared last")
	cmd.Flags().StringVar(&opts.Of.Method, "method", http.MethodGet, "HTTP `method`, for routes that allow only some")
	opts.Output.AddFlag(cmd.Flags())
	return cmd
}

func run(opts *Options) error {
	all, err := opts.Check(opts.Of, opts.URLs)
	if err != nil {
		return err
	}
	refused := false
	for _, c := range all {
		refused = refused || !c.Allowed
		if err := opts.show(c); err != nil {
			return err
		}
	}
	if refused {
		return exit.Differences()
	}
	return nil
}

func (o *Options) show(c service.Check) error {
	if o.Output.IsJSON() {
		return command.JSONLine(o.Out, c)
	}
	line := report.Line{Text: fmt.Sprintf("ALLOW  %s  %s", c.URL, c.Rule)}
	if c.Provided != "" {
		line.Text += ", if " + c.Provided
	}
	if !c.Allowed {
		line = report.Line{Text: fmt.Sprintf("DENY   %s  %s", c.URL, c.Reason), Bad: true}
	}
	if c.Warning != "" {
		line.Text += "; warning: " + c.Warning
	}
	if err := o.Out.Data([]byte(o.Out.Print(line) + "\n")); err != nil || c.Hint == "" {
		return err
	}
	return o.Out.Line("       %s", c.Hint)
}
