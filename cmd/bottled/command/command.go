package command

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler/execute"
)

// EndsWithCommand annotates the commands that end with the exit code of a command in a container.
const EndsWithCommand = "command-exit-code"

// Streams is where a command prints.
type Streams struct {
	Out, Errs terminal.Console
}

// Factory gives the commands what they work with.
type Factory struct {
	Streams
	Service *service.Service
}

// Run carries a command out with its options. It calls runF, if that is not nil, instead of run: tests look at the options, and change
// what the command works with.
func Run[Options any](ctx context.Context, opts *Options, runF func(*Options) error, run func(context.Context, *Options) error) error {
	if runF != nil {
		return runF(opts)
	}
	return run(ctx, opts)
}

// Progress shows the steps of a pass on stderr when that is a terminal. event is nil where they are logged instead.
func (s Streams) Progress(log *zerolog.Logger) (event func(execute.Progress), end func()) {
	if !s.Errs.IsTerminal() || log.GetLevel() <= zerolog.DebugLevel {
		return nil, func() {}
	}
	p := terminal.NewProgress(terminal.NewScreen(s.Errs))
	return p.Event, p.End
}

// PrintNotices prints, once, everything wrong or risky in manifests.
func (s Streams) PrintNotices(snapshot source.Snapshot) error {
	for _, p := range snapshot.Problems {
		if err := s.Errs.Line("%v", p); err != nil {
			return err
		}
	}
	for _, notice := range snapshot.Notices() {
		if err := s.Errs.Line("warning: %s", notice); err != nil {
			return err
		}
	}
	return nil
}
