package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
)

func (a *app) execCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "exec [-it] SLUG[/PART] -- COMMAND…",
		Short: "Run a command in a part of a bottle: the agent, if none is named",
		Long: `Run a command in the running container of a part: pipelock, cred-proxy, supervise or agent, which is the default. The
sidecars' images hold nothing but /bottled.

With a terminal on both sides the command gets one, too, and what is typed goes to it. Otherwise stdin goes to it with -i.
SIGINT, SIGTERM and SIGHUP are passed on. The exit code is the command's; 125 is for what bottled itself failed at,
126 for a command that can't be run, 127 for one that is not there.`,
		Args:        commandAfterDash(true),
		Annotations: map[string]string{commandExitCode: ""},
	}
	cmd.Flags().BoolVarP(&stdin, "interactive", "i", false, "pass stdin to the command (default: with a terminal)")
	tty := ttyFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		to, err := parseTarget(args[0])
		if err != nil {
			return err
		}
		to.part = cmp.Or(to.part, state.Agent)
		t, release := newTerminal(stdin || tty(), tty())
		defer release()
		code, err := a.exec(cmd.Context(), to, args[1:], t)
		if err != nil {
			return fmt.Errorf("bottle %s: %s: %w", to.slug, to.part, err)
		}
		return commandEnded(code, to.hint(code))
	}
	return cmd
}

// commandEnded makes the exit code of a command that was run bottled's own.
func commandEnded(code int, hint error) error {
	if code == exitDone {
		return nil
	}
	return exitError{code, hint}
}

// hint explains why a command does not start in a sidecar.
func (to target) hint(code int) error {
	if to.part == state.Agent || code != exitCantInvoke && code != exitNotFound {
		return nil
	}
	return fmt.Errorf("the built-in image of %s holds no other program than /bottled: try /bottled sidecar %s healthcheck", to.part, to.part)
}

// commandAfterDash checks for one bottle or part and, behind --, a command.
func commandAfterDash(required bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		switch {
		case dash < 0 && len(args) > 1:
			return errors.New("put the command behind --")
		case dash < 0:
			dash = len(args)
		}
		switch {
		case dash != 1:
			return fmt.Errorf("name one bottle, not %d", dash)
		case required && len(args) == 1:
			return errors.New("give a command, behind --")
		}
		return nil
	}
}

// target is a bottle, or with a part one of its containers.
type target struct {
	slug string
	part state.ComponentName // "" when none is named
}

func parseTarget(text string) (target, error) {
	slug, part, named := strings.Cut(text, "/")
	if slug == "" || named && !kinds.All.Has(state.ComponentName(part)) {
		return target{}, exitError{exitBadInput, fmt.Errorf("%q: name a bottle, or a part as in BOTTLE/PART (%s)", text, partNames())}
	}
	return target{slug, state.ComponentName(part)}, nil
}

func partNames() string {
	var names []string
	for _, p := range kinds.All.Names() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

func (a *app) exec(ctx context.Context, to target, command []string, t *terminal) (code int, err error) {
	engine, err := docker.Connect(ctx, state.Settings{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	c, err := a.running(ctx, engine, to)
	if err != nil {
		return 0, err
	}
	p, err := engine.Exec(ctx, c.ID, command, t.stdin, t.tty)
	if err != nil {
		return 0, err
	}
	code, err = t.converse(context.WithoutCancel(ctx), p)
	return code, errors.Join(err, p.Close())
}

// running finds the container that a part runs in.
func (a *app) running(ctx context.Context, runtime engine.Engine, of target) (engine.Summary, error) {
	all, err := runtime.Containers(ctx, a.settings.Owner, of.slug)
	if err != nil {
		return engine.Summary{}, err
	}
	if len(all) == 0 {
		return engine.Summary{}, fmt.Errorf("owner %q has no such bottle", a.settings.Owner)
	}
	now := "missing"
	for _, c := range all {
		switch {
		case c.Component() != of.part:
			continue
		case c.State == engine.StateRunning:
			return c, nil
		}
		now = c.State
	}
	return engine.Summary{}, fmt.Errorf("it does not run, it is %s: see bottled status %s", now, of.slug)
}
