// Package audit is bottled audit.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/audit"
)

// Options of the command.
type Options struct {
	command.Streams
	Audit       func(o service.AuditOptions, show func(r audit.Record, line []byte) error) error
	VerifyAudit func(o service.VerifyOptions) (audit.Verification, error)
	Select      service.AuditOptions
	Verify      bool
	Archives    []string
	Key         string
	Output      command.LineOutput
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Audit: f.Service.Audit, VerifyAudit: f.Service.VerifyAudit}
	var since command.Since
	cmd := &cobra.Command{
		Use:   "audit [BOTTLE…]",
		Short: "Show the audit log of bottles, or verify that nobody changed it",
		Long: `Show the audit logs of bottles, or of all, in the order of time: requests, proposals, people's decisions, and what bottled itself
changed. It needs no engine. With -o json each record is one line, as in the log.

With --verify it checks the logs instead: that no record was changed, removed, moved or added, also not at the end, and that no
log is missing. It ends with exit code 1 if something is wrong. Archived logs beside the log (dev.jsonl.1200) are included;
name others with --archive. With --key it also checks the checkpoints that the controller signed.`,
		Example: `  bottled audit --since 2h dev
  bottled audit --kind decision,change
  bottled audit --verify --key audit.pub
  bottled audit archive dev`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteBottles(-1),
		RunE: func(cmd *cobra.Command, bottles []string) error {
			opts.Select.Bottles, opts.Select.Since = bottles, since.Time
			if err := opts.check(); err != nil {
				return err
			}
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&opts.Select.Kinds, "kind", nil, "only records of these `kinds`, as in decision,change")
	flags.BoolVar(&opts.Verify, "verify", false, "check that the logs are complete and unchanged")
	flags.StringArrayVar(&opts.Archives, "archive", nil, "with --verify: a `file` that an archived log was moved to; may be repeated")
	flags.StringVar(&opts.Key, "key", "", "with --verify: `file` of the public key (PEM) that belongs to the controller's --audit-key-file")
	since.AddFlag(flags)
	opts.Output.AddFlag(flags)
	cmd.AddCommand(NewArchive(f, nil))
	return cmd
}

// kinds are all kinds of records.
var kinds = []string{audit.KindEgress, audit.KindRequest, audit.KindCredential, audit.KindProposal, audit.KindDecision, audit.KindChange, audit.KindGap}

func (o *Options) check() error {
	for _, kind := range o.Select.Kinds {
		if err := command.Choice(new(string), kinds...).Set(kind); err != nil {
			return exit.Usage(fmt.Errorf("--kind %s: %w", kind, err))
		}
	}
	switch {
	case !o.Verify && (len(o.Archives) > 0 || o.Key != ""):
		return exit.Usage(errors.New("--archive and --key are for --verify"))
	case o.Verify && len(o.Select.Kinds) > 0:
		return exit.Usage(errors.New("--verify checks records of all kinds: leave --kind out"))
	}
	return nil
}

func run(_ context.Context, opts *Options) error {
	if opts.Verify {
		return opts.verify()
	}
	return opts.Audit(opts.Select, opts.show)
}

func (o *Options) show(r audit.Record, line []byte) error {
	if o.Output.IsJSON() {
		return command.JSONLine(o.Out, json.RawMessage(line))
	}
	text := report.AuditRecord(r, line)
	text.Text = fmt.Sprintf("%s  %-10s  %-10s  %s", r.At().Local().Format(time.DateTime), r.Bottle, r.Kind, text.Text)
	return o.Out.Data([]byte(o.Out.Print(text) + "\n"))
}

// verify prints what was found.
func (o *Options) verify() error {
	v, err := o.VerifyAudit(service.VerifyOptions{Bottles: o.Select.Bottles, Archives: o.Archives, Since: o.Select.Since, Key: o.Key})
	if err != nil {
		return err
	}
	if o.Output.IsJSON() {
		err = command.JSONLine(o.Out, v)
	} else {
		err = o.print(v)
	}
	if err == nil && len(v.Findings) > 0 {
		return fmt.Errorf("the audit log is not as it was written (findings: %d)", len(v.Findings))
	}
	return err
}

func (o *Options) print(v audit.Verification) error {
	for _, f := range v.Findings {
		if err := o.Out.Data([]byte(o.Out.Print(report.Line{Text: f.String(), Bad: true}) + "\n")); err != nil {
			return err
		}
	}
	for _, n := range v.Notes {
		if err := o.Out.Line("note: %s", n); err != nil {
			return err
		}
	}
	if len(v.Findings) > 0 {
		return nil
	}
	signed := "no checkpoint was checked, since no --key was given"
	if !v.Signed.IsZero() {
		signed = "signed until " + v.Signed.Local().Format(time.DateTime)
	}
	return o.Out.Line("%d records in %d files are as they were written; %s", v.Records, v.Files, signed)
}
