// Command bottled keeps AI-agent sandboxes on a Docker engine as declared in a directory of manifests.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/root"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{Out: terminal.NewConsole(os.Stdout), Errs: terminal.NewConsole(os.Stderr)}, &service.Service{OpenEngine: service.OpenDocker, Stdin: os.Stdin}))
}

func run(args []string, streams command.Streams, s *service.Service) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // the first signal finishes the step in hand, a second one quits
	}()
	cmd := root.New(&command.Factory{Streams: streams, Service: s})
	cmd.SetArgs(args)
	executed, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return exit.Done
	}
	if executed == cmd && len(args) > 0 && !strings.HasPrefix(args[0], "-") { // not what a flag of it says to bottled itself
		err = root.UnknownCommand(cmd, args)
	}
	if message := exit.Message(err); message != "" {
		_ = streams.Errs.Block("bottled: " + message) // there is nowhere else to say it
	}
	_, runsCommand := executed.Annotations[command.EndsWithCommand]
	return exit.Code(err, runsCommand)
}
