package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/store"
)

// Session runs an agent's command, or another one, in a container of its own, and returns its exit code. attach is called when
// everything is ready; from then on signals are the session's, until release is called.
func (s *Service) Session(ctx context.Context, bottle string, command []string, attach func() (user Attachment, release func())) (code int, err error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return 0, err
	}
	settings.Launcher = launcher()
	source, err := s.StatusSource()
	if err != nil {
		return 0, err
	}
	if err := awaitSidecars(ctx, source, bottle, s.Settings.Timeout, s.Log); err != nil {
		return 0, err
	}
	c, volumes, err := declareSession(settings, bottle, command)
	if err != nil {
		return 0, err
	}
	e, err := s.connect(ctx, settings)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	attachment, detach := attach()
	defer detach()
	release, err := store.LockSession(settings, c.Name)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, v := range volumes { // the agent that they are for may have ended long ago
		if err := e.CreateVolume(ctx, v); err != nil {
			return 0, errors.Join(err, release())
		}
	}
	end := s.recordSession(settings, bottle, c)
	code, err = host(ctx, e, c, attachment)
	end(code, err)
	s.explainEnd(ctx, running{bottle: bottle, name: c.Name, component: state.Session, since: began})
	return code, errors.Join(err, release())
}

// recordSession records in the audit log that a session begins, and by end, how it ended. The command is not recorded: its arguments may
// have secrets. A problem is logged only, so that a full disk can be looked at from inside.
func (s *Service) recordSession(settings state.Settings, bottle string, c state.Container) (end func(code int, err error)) {
	changes := &audit.Changes{Dir: settings.AuditDir(), Who: userName()}
	record := func(change audit.Change) {
		change.Bottle, change.Component, change.Object = bottle, string(state.Session), c.Name
		if err := errors.Join(changes.Record(change), changes.Commit(bottle)); err != nil {
			s.Log.Error().Str("bottle", bottle).Err(err).Msg("can't record the session in the audit log")
		}
	}
	record(audit.Change{Action: audit.ActionSession})
	return func(code int, err error) {
		change := audit.Change{Action: audit.ActionSessionEnd, Result: audit.ChangeDone, Cause: fmt.Sprintf("exit code %d", code)}
		if err != nil {
			change.Result, change.Cause, change.Error = audit.ChangeFailed, "", err.Error()
		}
		record(change)
	}
}

// userName is the name of this process's user; the number when there is no name.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

// host runs a session, from its container's creation to its removal.
func host(ctx context.Context, e Engine, c state.Container, user Attachment) (code int, err error) {
	id, err := e.CreateSession(ctx, c, user.Terminal())
	if errors.Is(err, engine.ErrConflict) || errors.Is(err, state.ErrMount) {
		return 0, err // the name is somebody else's, or nothing was created
	}
	defer func() { // by its name, since the answer to the creation may be what was lost
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if removeErr := e.RemoveContainer(ctx, c.Name); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("%w; by hand: docker rm -f %s", removeErr, c.Name))
		}
	}()
	if errors.Is(err, engine.ErrNotFound) {
		return 0, fmt.Errorf("%w; a pass of the controller gets what is missing: see bottled status", err)
	}
	if err != nil {
		return 0, err
	}
	p, err := e.StartSession(ctx, id, c.Mounts, user.Terminal())
	if err != nil {
		return 0, startError(err)
	}
	code, err = user.Converse(context.WithoutCancel(ctx), p)
	return code, errors.Join(err, p.Close())
}

// startError marks the errors of a command that can't be started.
func startError(err error) error {
	switch {
	case errors.Is(err, engine.ErrNoCommand):
		return exit.CommandNotFound(err)
	case errors.Is(err, engine.ErrNotExecutable):
		return exit.CommandNotRunnable(err)
	}
	return err
}

// declareSession declares a session's container and the volumes that it mounts, by the last declaration of the bottle.
func declareSession(s state.Settings, slug string, command []string) (c state.Container, volumes []state.Volume, err error) {
	b, found, err := store.ReadRecord(s, slug)
	if err != nil {
		return c, nil, err
	}
	if !found {
		return c, nil, fmt.Errorf("there is no record of its declaration in %s: was it made with another --state-dir?", s.StateDir)
	}
	c, err = render.Session(b, s.Prefix, command)
	if errors.Is(err, render.ErrNoAgent) {
		err = fmt.Errorf("%w, and a session is made as its agent is: declare one in %s, for instance\n  spec:\n    agent: {image: IMAGE, command: [COMMAND]}", err, b.Manifest)
	}
	volumes = slices.DeleteFunc(b.Volumes, func(v state.Volume) bool { return !c.MountsVolume(v.Name) })
	return c, volumes, err
}

// errSessionReady ends the wait for a bottle.
var errSessionReady = errors.New("ready for a session")

// awaitSidecars waits until the sidecars of a bottle are ready. The agent itself need not be: a session may be what it takes
// to find out why.
func awaitSidecars(ctx context.Context, source *StatusSource, bottle string, timeout time.Duration, log zerolog.Logger) error {
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var obstacle string
	err := source.Follow(wait, func(status reconciler.Status) error {
		first := obstacle == ""
		var hopeless error
		obstacle, hopeless = sessionObstacle(status, bottle)
		switch {
		case hopeless != nil:
			return hopeless
		case obstacle == "":
			return errSessionReady
		case first:
			log.Info().Str("bottle", bottle).Str("reason", obstacle).Msg("waiting until its sidecars are ready")
		}
		return nil
	}, func(err error) { obstacle = report.OneLine(err) })
	switch {
	case errors.Is(err, errSessionReady):
		return nil
	case err != nil:
		return err
	case ctx.Err() != nil:
		return errors.New("interrupted")
	}
	return fmt.Errorf("its sidecars are not ready after %s: %s", timeout, obstacle)
}

// sessionObstacle says what a session still waits for, "" for nothing. The error says why waiting is of no use.
func sessionObstacle(status reconciler.Status, bottle string) (string, error) {
	found, err := status.Select([]string{bottle})
	switch {
	case err != nil && status.Controller != nil && status.Controller.Syncs == 0:
		return "the controller's first sync is not done yet", nil
	case err != nil:
		return "", err
	case found[0].Reason == reconciler.ReasonSuspend:
		return "", fmt.Errorf("it is suspended: bottled resume %s, or take suspend out of its manifest", bottle)
	}
	sidecars := 0
	for _, c := range found[0].Components {
		switch {
		case c.Component == state.Agent || c.Component.IsSession():
			continue
		case !c.Ready:
			return report.Because(string(c.Component), c.Cause), nil
		}
		sidecars++
	}
	if sidecars == 0 {
		return report.Because(found[0].Reason, found[0].Message), nil
	}
	return "", nil
}
