// Package reconcile is bottled reconcile: the controller, and single passes.
package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/page"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
)

// Reconciler is a [service.Service].
type Reconciler interface {
	command.Planner
	Reconcile(ctx context.Context, snapshot source.Snapshot, o pass.Options, progress func(execute.Progress)) (service.PassResult, error)
	Control(ctx context.Context, o service.ControlOptions) error
}

// Options of the command.
type Options struct {
	command.Streams
	Service Reconciler
	Log     *zerolog.Logger
	Once    bool
	DryRun  bool
	// WaitCompleted goes on until the agents have ended.
	WaitCompleted bool
	Pass          pass.Options
	Output        command.Output
	Control       service.ControlOptions
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service, Log: &f.Service.Log}
	var flags command.PassFlags
	cmd := &cobra.Command{
		Use:   "reconcile DIR… | --git URL[#branch]",
		Short: "Make the engine equal to the manifests, and keep it so",
		Long: `Make the engine equal to the manifests and keep it so, until a signal comes: SIGTERM finishes the step in hand and
leaves the bottles running, a second one quits; SIGHUP has everything looked at.
With --once, make one pass and end; with --wait-completed, go on until the agents have ended, and end with the exit code of the first, by
name, that failed. --deep and --output are of --once and --dry-run: the controller always looks deep where
events may have been missed, and tells by bottled status.`,
		Example: `  bottled reconcile bottles
  bottled reconcile --once bottles
  bottled reconcile --once -f bottles/dev.yaml
  bottled reconcile --git https://git.example.com/team/bottles.git#main --path bottles`,
		RunE: func(cmd *cobra.Command, dirs []string) (err error) {
			if opts.Control.Paths, opts.Pass, err = flags.Options(dirs); err != nil {
				return err
			}
			opts.Control.Prune = opts.Pass.Prune
			if err := opts.check(); err != nil {
				return exit.Usage(err)
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	flags.AddFlags(cmd.Flags())
	opts.Output.AddFlag(cmd.Flags())
	opts.addControlFlags(cmd.Flags())
	addGitFlags(&opts.Control.Git, cmd.Flags())
	opts.Control.Page = func(c api.Source) api.Page { return page.New(c, f.Service, f.Service.Log) }
	addNotifyFlags(&opts.Control.Notify, cmd.Flags())
	cmd.Flags().BoolVar(&opts.Once, "once", false, "make one pass and end")
	cmd.Flags().BoolVar(&opts.WaitCompleted, "wait-completed", false, "with --once: go on until every agent has ended")
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "only print what would be done, as plan does")
	return cmd
}

func (o *Options) addControlFlags(f *pflag.FlagSet) {
	c := &o.Control
	f.DurationVar(&c.Resync, "resync", 2*time.Minute, "how often everything is looked at, whatever was heard; less or more by a tenth")
	f.StringVar(&c.Listen, "listen", "", "loopback `address` and port where the API is served too, read-only, besides its unix socket")
	f.StringVar(&c.AuditKey, "audit-key-file", "", "`file` of an Ed25519 private key (PEM) that signs checkpoints of the audit log")
	f.DurationVar(&c.ApproveTimeout, "approve-timeout", approve.DefaultTimeout, "how long a bottle may take to become ready with an approved change, before that is taken back")
	f.StringVar(&c.TokensFile, "api-tokens-file", "", "`file` with lines NAME TOKEN: who may see proposals and decide about them on the address of --listen")
	f.BoolVar(&c.Teardown, "teardown-on-exit", false, "remove the bottles when the controller ends")
}

func addNotifyFlags(n *service.NotifyOptions, f *pflag.FlagSet) {
	f.StringVar(&n.Webhook, "notify-webhook", "", "`URL` to which new proposals and failed approvals are sent; best in the configuration file, if it holds a secret")
	f.StringVar(&n.SecretFile, "notify-webhook-secret-file", "", "`file` with the secret that signs what is sent to the webhook")
	f.StringVar(&n.Command, "notify-exec", "", "`command` that is run for each, without a shell, with JSON on stdin")
	f.BoolVar(&n.Desktop, "notify-desktop", false, "show each by notify-send")
}

func addGitFlags(g *service.GitOptions, f *pflag.FlagSet) {
	f.StringVar(&g.URL, "git", "", "`URL[#branch]` of a Git repository with the manifests, instead of directories")
	f.StringVar(&g.Path, "path", "", "`directory` of the manifests in the Git repository")
	f.DurationVar(&g.Interval, "git-interval", time.Minute, "how often the Git repository is asked for something new; less or more by a tenth")
	f.StringVar(&g.KeysFile, "git-keys", "", "`file` of armored OpenPGP public keys; only commits signed by one of them are taken")
	f.StringVar(&g.TokenFile, "git-token-file", "", "`file` with the password or token for a Git repository over HTTPS")
	f.BoolVar(&g.Push, "git-push", false, "push the branches that approvals make, for people to merge")
	f.StringVar(&g.Author, "git-author", "", "`Name <mail>` of who commits to these branches (default: bottled at this host)")
}

func (o *Options) check() error {
	git := o.Control.Git.URL != ""
	switch {
	case (len(o.Control.Paths) == 0) != git:
		return errors.New("name directories of manifests or, with --git, a repository: one of the two")
	case o.Pass.Prune == plan.PrunePartial && !o.Once && !o.DryRun:
		return errors.New("-f and - are for single passes, with --once: a controller keeps all manifests of a directory")
	case git && (o.Once || o.DryRun):
		return errors.New("--once and --dry-run take directories: check the repository out and name its directory")
	case o.Control.ApproveTimeout < time.Second:
		return errors.New("--approve-timeout is too short: give a bottle at least 1s to become ready")
	case o.WaitCompleted && (!o.Once || o.DryRun):
		return errors.New("--wait-completed is of --once")
	}
	return nil
}

func run(ctx context.Context, opts *Options) error {
	switch {
	case opts.DryRun:
		return opts.Plan(ctx, opts.Service, opts.Control.Paths, opts.Pass, opts.Output)
	case opts.Once:
		return once(ctx, opts)
	}
	return opts.Service.Control(ctx, opts.Control)
}
