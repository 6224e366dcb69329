// Package approve is bottled approve.
package approve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// Options of the command.
type Options struct {
	command.Streams
	Service command.Decisions
	Confirm func(question string) error // nil: nobody is there to answer
	// Edit has a person edit a file's content; the name tells an editor its format.
	Edit func(ctx context.Context, name string, content []byte) ([]byte, error)
	// AskSecret asks for a secret; nil: nobody is there to answer.
	AskSecret func(question string) (string, error)
	// ReadSecret reads a secret from a file, or from stdin by the name "-".
	ReadSecret func(path string) (string, error)

	IDs              []string
	EditFile         bool
	For              time.Duration
	Note             string
	AllowNewUpstream bool
	SecretFile       string
	Digest           string
	NoWait           bool
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Service: f.Service, Edit: terminal.Edit, ReadSecret: f.Service.ReadSecret}
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve ID…",
		Short: "Approve what an agent asks for",
		Long: `Approve what an agent asks for. The controller changes the bottle's manifest, makes the bottle so, and then answers the agent. If the
bottle does not become ready with the change, the change is taken back, and the exit code is 1. An ID may be abbreviated as
"bottled proposals" shows it.

On a terminal it shows what would change, and asks; --yes answers. Elsewhere it does not ask: give it the digest that
"bottled proposals show ID -o json" has, to approve nothing but what you have seen.

With --edit, $VISUAL or $EDITOR opens the file as it would be, and what you save is approved, if it is valid. A secret-request has a
secret typed in, or reads it with --secret-file: it is never an argument.`,
		Example: `  bottled approve k3x9abcd
  bottled approve k3x9abcd --for 2h --note "for this task only"
  bottled approve k3x9abcd --edit
  pass show ci/token | bottled approve k3x9abcd --secret-file -`,
		Args:              command.AtLeastOne("a proposal"),
		ValidArgsFunction: f.CompleteProposals(-1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			opts.IDs = ids
			if err := opts.check(); err != nil {
				return exit.Usage(err)
			}
			if !yes {
				opts.Confirm = f.Confirm()
			}
			opts.AskSecret = f.AskSecret()
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	opts.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return cmd
}

func (o *Options) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.EditFile, "edit", "e", false, "edit the changed file before it is approved")
	f.DurationVar(&o.For, "for", 0, "of a host: how long it is allowed, such as 2h (default: until the manifest is changed)")
	f.StringVar(&o.Note, "note", "", "`text` that the agent gets with the answer")
	f.BoolVar(&o.AllowNewUpstream, "allow-new-upstream", false, "also when a token would be sent to an upstream that does not get it now")
	f.StringVar(&o.SecretFile, "secret-file", "", "of a secret-request: `file` with the secret, or - for stdin")
	f.StringVar(&o.Digest, "digest", "", "approve only the change with this `digest`, from proposals show -o json")
	f.BoolVar(&o.NoWait, "no-wait", false, "don't wait until the agent is answered")
}

func (o *Options) check() error {
	switch {
	case o.For < 0:
		return fmt.Errorf("--for %s: give a duration such as 2h", o.For)
	case o.EditFile && o.For > 0:
		return errors.New("--edit and --for: write the time into the manifest yourself, as until, or leave out --edit")
	case len(o.IDs) > 1 && (o.EditFile || o.SecretFile != "" || o.Digest != ""):
		return errors.New("--edit, --secret-file and --digest are for one proposal")
	}
	return nil
}

func run(ctx context.Context, opts *Options) error {
	found, err := command.FindProposals(ctx, opts.Service, opts.IDs)
	if err != nil {
		return err
	}
	for _, p := range found {
		if err := opts.checkTool(p); err != nil {
			return exit.Usage(err)
		}
	}
	var failed []error
	var decided []reconciler.Proposal
	for _, p := range found {
		if err := opts.approve(ctx, p); err != nil {
			failed = append(failed, err)
			continue
		}
		decided = append(decided, p)
	}
	if !opts.NoWait {
		return errors.Join(append(failed, opts.AwaitAnswers(ctx, opts.Service, decided))...)
	}
	for _, p := range decided {
		failed = append(failed, opts.Out.Line("%s: decided", report.RandomPart(p.ID)))
	}
	return errors.Join(failed...)
}

// checkTool fails for flags that are of other tools.
func (o *Options) checkTool(p reconciler.Proposal) error {
	id := report.RandomPart(p.ID)
	switch {
	case o.For > 0 && p.Tool != queue.PipelockBlock:
		return fmt.Errorf("--for is for hosts, of the tool %s; proposal %s is of %s: leave it out", queue.PipelockBlock, id, p.Tool)
	case o.SecretFile != "" && p.Tool != queue.SecretRequest:
		return fmt.Errorf("--secret-file is of the tool %s; proposal %s is of %s: leave it out", queue.SecretRequest, id, p.Tool)
	case p.Tool == queue.SecretRequest && o.SecretFile == "" && o.AskSecret == nil:
		return fmt.Errorf("proposal %s asks for a secret: give it with --secret-file FILE, or - for stdin", id)
	}
	return nil
}

// approve shows a proposal, and decides about what was shown.
func (o *Options) approve(ctx context.Context, p reconciler.Proposal) error {
	review, err := o.Service.Review(ctx, p.ID)
	if err != nil {
		return err
	}
	if err := o.checkReview(review); err != nil {
		return err
	}
	decision := reconciler.DecisionRequest{
		Approve: true, Digest: review.Digest, For: o.For, Notes: o.Note, AllowNewUpstream: o.AllowNewUpstream,
	}
	if o.Confirm != nil {
		if err := o.ask(review); err != nil {
			return err
		}
	}
	if p.Tool == queue.SecretRequest {
		if decision.Secret, err = o.secret(review); err != nil {
			return err
		}
	}
	if o.EditFile {
		return o.decideEdited(ctx, review, decision)
	}
	return o.Service.Decide(ctx, p.ID, decision)
}

// checkReview fails for what the controller would refuse, before anybody is asked anything.
func (o *Options) checkReview(r reconciler.Review) error {
	id := report.RandomPart(r.ID)
	switch {
	case r.State != reconciler.ProposalWaiting:
		return fmt.Errorf("proposal %s does not wait any more: %s", id, report.ProposalState(r.Proposal))
	case o.Digest != "" && o.Digest != r.Digest:
		return fmt.Errorf("proposal %s: what would change is not what --digest stands for any more: bottled proposals show %s", id, id)
	case r.Blocked != "" && !o.EditFile:
		return fmt.Errorf("proposal %s can't be approved: %s", id, r.Blocked)
	case len(r.Dangers) > 0 && !o.AllowNewUpstream && !o.EditFile:
		return fmt.Errorf("proposal %s: %s; if that is meant, give --allow-new-upstream", id, r.Dangers[0])
	}
	return nil
}

// ask shows what is to be approved, and asks whether it is.
func (o *Options) ask(r reconciler.Review) error {
	id := report.RandomPart(r.ID)
	if err := o.Errs.Lines(append(report.Review(r, "", time.Now()), report.Line{})); err != nil {
		return err
	}
	if o.EditFile {
		return nil // what is saved counts
	}
	question := fmt.Sprintf("Approve %s for bottle %s", id, r.Bottle)
	if o.For > 0 {
		question += fmt.Sprintf(" for %s, until %s", o.For, time.Now().Add(o.For).Format(time.DateTime))
	}
	return o.Confirm(question + "?")
}

func (o *Options) secret(r reconciler.Review) (string, error) {
	if o.SecretFile != "" {
		return o.ReadSecret(o.SecretFile)
	}
	return o.AskSecret(fmt.Sprintf("Secret for bottle %s (%s):", r.Bottle, report.Short(report.Flat(r.Summary))))
}
