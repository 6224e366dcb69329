package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/store"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [-t] SLUG [-- COMMAND…]",
		Short: "Run the agent of a bottle, or another command, for one session",
		Long: `Run the agent of a bottle for one interactive session, in a container of its own: made as spec.agent declares it, image,
environment, mounts and limits, on the bottle's internal network only, and removed when the session ends. COMMAND takes
the place of spec.agent.command. The declared agent, when it runs, goes on beside it.

It waits, at most as long as --timeout says, until the bottle's sidecars are ready. With a terminal on both sides the
command gets one, too; otherwise stdin is passed on. SIGINT, SIGTERM and SIGHUP are passed on; three of them, or 10 s after
SIGTERM or SIGHUP, end the session. The exit code is the command's; 125 is for what bottled itself failed at, 126 for a
command that can't be run, 127 for one that is not there.`,
		Args:        commandAfterDash(false),
		Annotations: map[string]string{commandExitCode: ""},
	}
	tty := ttyFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		code, err := a.session(cmd.Context(), args[0], args[1:], tty())
		if err != nil {
			return fmt.Errorf("bottle %s: %w", args[0], err)
		}
		return commandEnded(code, nil)
	}
	return cmd
}

// session makes a container for one session, and removes it.
func (a *app) session(ctx context.Context, slug string, command []string, tty bool) (code int, err error) {
	settings, err := a.settings.state("")
	if err != nil {
		return 0, err
	}
	if err := a.awaitSidecars(ctx, slug); err != nil {
		return 0, err
	}
	c, err := sessionContainer(settings, slug, command)
	if err != nil {
		return 0, err
	}
	engine, err := docker.Connect(ctx, settings)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	t, stop := newTerminal(true, tty)
	defer stop()
	release, err := store.HoldSession(settings, c.Name)
	if err != nil {
		return 0, err
	}
	code, err = host(ctx, engine, c, t)
	return code, errors.Join(err, release())
}

// interactiveEngine is what a session is made with.
type interactiveEngine interface {
	engine.SessionRuntime
	RemoveContainer(ctx context.Context, id string) error
}

// host is a session, from its container's beginning to its end.
func host(ctx context.Context, runtime interactiveEngine, c state.Container, t *terminal) (code int, err error) {
	id, err := runtime.CreateSession(ctx, c, t.tty)
	if errors.Is(err, engine.ErrConflict) || errors.Is(err, state.ErrMount) {
		return 0, err // the name is somebody else's, or nothing was created
	}
	defer func() { // by its name, since the answer to the creation may be what was lost
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if removeErr := runtime.RemoveContainer(ctx, c.Name); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("%w; by hand: docker rm -f %s", removeErr, c.Name))
		}
	}()
	if errors.Is(err, engine.ErrNotFound) {
		return 0, fmt.Errorf("%w; a pass of the controller gets what is missing: see bottled status", err)
	}
	if err != nil {
		return 0, err
	}
	p, err := runtime.StartSession(ctx, id, c.Mounts, t.tty)
	if err != nil {
		return 0, startError(err)
	}
	code, err = t.converse(context.WithoutCancel(ctx), p)
	return code, errors.Join(err, p.Close())
}

// startError tells apart, by the words of the engine, which has no types for it, why a command does not start.
func startError(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		return exitError{exitNotFound, err}
	case strings.Contains(text, "permission denied"), strings.Contains(text, "is a directory"), strings.Contains(text, "exec format error"):
		return exitError{exitCantInvoke, err}
	}
	return err
}

// sessionContainer declares the session's container, from what was declared last of the bottle.
func sessionContainer(s state.Settings, slug string, command []string) (state.Container, error) {
	b, found, err := store.ReadRecord(s, slug)
	if err != nil {
		return state.Container{}, err
	}
	if !found {
		return state.Container{}, fmt.Errorf("there is no record of its declaration in %s: was it made with another --state-dir?", s.StateDir)
	}
	c, err := render.Session(b, s.Prefix, command)
	if errors.Is(err, render.ErrNoAgent) {
		err = fmt.Errorf("%w, and a session is made as its agent is: declare one in %s, for instance\n  spec:\n    agent: {image: IMAGE, command: [COMMAND]}", err, b.Manifest)
	}
	return c, err
}

// errFit ends the wait for a bottle.
var errFit = errors.New("ready for a session")

// awaitSidecars waits until the sidecars of a bottle are ready. The agent itself need not be: a session may be what it takes
// to find out why.
func (a *app) awaitSidecars(ctx context.Context, slug string) error {
	from, err := a.lookout()
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, a.settings.Timeout)
	defer cancel()
	var why string
	err = from.follow(wait, func(live reconciler.Status) error {
		first := why == ""
		var hopeless error
		why, hopeless = unfit(live, slug)
		switch {
		case hopeless != nil:
			return hopeless
		case why == "":
			return errFit
		case first:
			a.log.Info().Str("bottle", slug).Str("why", why).Msg("waiting until its sidecars are ready")
		}
		return nil
	}, func(err error) { why = oneLine(err) })
	switch {
	case errors.Is(err, errFit):
		return nil
	case err != nil:
		return err
	case ctx.Err() != nil:
		return errors.New("interrupted")
	}
	return fmt.Errorf("its sidecars are not ready after %s: %s", a.settings.Timeout, why)
}

// unfit says what a session still waits for, "" for nothing, or why waiting is of no use.
func unfit(live reconciler.Status, slug string) (why string, err error) {
	found, err := choose(live.Bottles, []string{slug})
	switch {
	case err != nil && live.Controller != nil && live.Controller.Syncs == 0:
		return "the controller's first sync is not done yet", nil
	case err != nil:
		return "", err
	case found[0].Reason == reconciler.ReasonSuspend:
		return "", errors.New("it is suspended: take suspend out of its manifest first")
	}
	sidecars := 0
	for _, p := range found[0].Components {
		switch {
		case p.Component == state.Agent || p.Component == state.Session:
			continue
		case !p.Ready:
			return because(string(p.Component), p.Cause), nil
		}
		sidecars++
	}
	if sidecars == 0 {
		return because(found[0].Reason, found[0].Message), nil
	}
	return "", nil
}
