// Command bottled keeps AI-agent sandboxes on a Docker engine as declared in a directory of manifests.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitDone        = 0 // done and converged
	exitFailed      = 1
	exitDifferences = 2 // plan and --dry-run found some
	exitBadInput    = 3 // bad usage or bad manifests
)

// Exit codes of run and exec, where it is the command's, for what is not; they are docker's.
const (
	exitNoCommand  = 125 // bottled itself failed
	exitCantInvoke = 126 // the command is there, and can't be run
	exitNotFound   = 127 // the command is not there
	exitBySignal   = 128 // and the signal's number: the session was ended by it
)

// commandExitCode annotates the commands that have these.
const commandExitCode = "command-exit-code"

// exitError ends the program with a code; with a nil error, silently.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }
func (e exitError) Unwrap() error { return e.err }

func main() {
	os.Exit(run(os.Args[1:], newConsole(os.Stdout), newConsole(os.Stderr)))
}

func run(args []string, out, errs console) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // the first signal finishes the step in hand, a second one quits
	}()
	root := newRoot(out, errs)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var exit exitError
	if !errors.As(err, &exit) {
		exit = exitError{exitFailed, err}
	}
	if _, commands := cmd.Annotations[commandExitCode]; commands && exit.err != nil {
		exit.code = max(exit.code, exitNoCommand)
	}
	if exit.err != nil {
		_ = errs.block("bottled: " + err.Error()) // there is nowhere else to say it
	}
	return exit.code
}
