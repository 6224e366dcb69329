package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Target is a bottle, or with a component one of its containers.
type Target struct {
	Bottle    string
	Component state.ComponentName // "" when none is named
}

// Attachment is the user's side of a session.
type Attachment interface {
	Stdin() bool // input goes to the program
	// Terminal is the one that the program gets; nil for none.
	Terminal() *engine.Terminal
	// Converse connects the user to a program until that ends, and returns its exit code. ctx must not end with a signal.
	Converse(ctx context.Context, p engine.Process) (code int, err error)
}

// Exec runs a command in the running container of a component, and returns its exit code.
func (s *Service) Exec(ctx context.Context, to Target, command []string, user Attachment) (code int, err error) {
	err = s.withContainer(ctx, to, func(e Engine, c engine.Summary) error {
		began := time.Now()
		p, err := e.Exec(ctx, c.ID, command, user.Stdin(), user.Terminal())
		if err != nil {
			return err
		}
		code, err = user.Converse(context.WithoutCancel(ctx), p)
		s.explainEnd(ctx, running{bottle: to.Bottle, name: c.Name, component: to.Component, since: began})
		return errors.Join(err, p.Close())
	})
	return code, err
}

// AgentStreams returns whether the running agent of a bottle has an input, and a terminal.
func (s *Service) AgentStreams(ctx context.Context, bottle string) (stdin, tty bool, err error) {
	err = s.withContainer(ctx, Target{bottle, state.Agent}, func(e Engine, c engine.Summary) error {
		detail, err := e.Inspect(ctx, c.ID)
		stdin, tty = detail.Container.Stdin, detail.Container.TTY
		return err
	})
	return stdin, tty, err
}

// Attach connects a user to the running agent of a bottle until that ends, and returns its exit code.
func (s *Service) Attach(ctx context.Context, bottle string, user Attachment) (code int, err error) {
	err = s.withContainer(ctx, Target{bottle, state.Agent}, func(e Engine, c engine.Summary) error {
		began := time.Now()
		p, err := e.Attach(ctx, c.ID)
		if err != nil {
			return err
		}
		if t := user.Terminal(); t != nil {
			// Another size, then this one: a program draws its screen anew when the size changes.
			err = errors.Join(p.Resize(ctx, t.Width+1, t.Height+1), p.Resize(ctx, t.Width, t.Height))
		}
		if err == nil {
			code, err = user.Converse(context.WithoutCancel(ctx), p)
		}
		if err == nil {
			s.explainEnd(ctx, running{bottle: bottle, name: c.Name, component: state.Agent, since: began})
		}
		return errors.Join(err, p.Close())
	})
	return code, err
}

// ErrNotRunning marks a component that does not run.
var ErrNotRunning = errors.New("it does not run")

// withContainer calls do with the running container of a component.
func (s *Service) withContainer(ctx context.Context, of Target, do func(e Engine, c engine.Summary) error) (err error) {
	e, err := s.connect(ctx, state.Settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	c, err := s.runningContainer(ctx, e, of)
	if err != nil {
		return err
	}
	return do(e, c)
}

// runningContainer finds the container that a component runs in.
func (s *Service) runningContainer(ctx context.Context, e Engine, of Target) (engine.Summary, error) {
	all, err := e.Containers(ctx, s.Settings.Owner, of.Bottle)
	if err != nil {
		return engine.Summary{}, err
	}
	if len(all) == 0 {
		return engine.Summary{}, missing(ctx, e, s.Settings.Owner, of)
	}
	now := "missing"
	for _, c := range all {
		switch {
		case c.Component() != of.Component:
			continue
		case c.State == engine.StateRunning:
			return c, nil
		}
		now = c.State
	}
	return engine.Summary{}, fmt.Errorf("%w, it is %s: see bottled status %s", ErrNotRunning, now, of.Bottle)
}
