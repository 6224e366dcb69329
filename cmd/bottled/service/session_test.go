package service

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
)

// ending is a user who ends the program.
type ending struct{ attachment }

func (ending) Converse(ctx context.Context, p engine.Process) (int, error) {
	if err := p.Signal(ctx, syscall.SIGTERM); err != nil {
		return 0, err
	}
	return p.Wait(ctx)
}

// TestHost runs sessions to their end, and leaves no container whatever that is.
func TestHost(t *testing.T) {
	c := state.Container{Name: "p-session-one", Image: "agent:1", Labels: map[string]string{state.LabelOwner: "me", state.LabelSlug: "one"}}
	missing := c
	missing.Image = "none:1"
	for name, test := range map[string]struct {
		container  state.Container
		startError error
		says       string
		code       int
	}{
		"it ends":                 {container: c},
		"no image":                {container: missing, says: "a pass of the controller gets what is missing", code: exit.NoCommand},
		"no command":              {container: c, startError: engine.ErrNoCommand, says: "not found", code: exit.NotFound},
		"a command without right": {container: c, startError: engine.ErrNotExecutable, says: "can't be executed", code: exit.CannotInvoke},
		"a bad engine":            {container: c, startError: errors.New("no space left"), says: "no space", code: exit.NoCommand},
	} {
		e := fake.New(fake.Options{
			Images:  map[string]engine.ImageDefaults{"agent:1": {Command: []string{"wait"}}},
			Program: func(state.Container) fake.Program { return fake.Program{StartError: test.startError} },
		})
		_, err := host(t.Context(), fakeEngine{e}, test.container, ending{})
		if exit.Code(err, true) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v (code %d), want %q (code %d)", name, err, exit.Code(err, true), test.says, test.code)
		}
		if left, err := e.Containers(t.Context(), "me", ""); err != nil || len(left) > 0 {
			t.Errorf("%s: left over: %v, %v", name, left, err)
		}
	}
}

func TestSessionObstacle(t *testing.T) {
	sidecar := func(engineState, cause string) reconciler.ComponentStatus {
		c := apitest.Component(state.Pipelock, engineState, 0)
		c.Cause = cause
		return c
	}
	agent := apitest.Component(state.Agent, "exited", 3)
	starting := reconciler.Status{Controller: &reconciler.ControllerStatus{}}
	for name, c := range map[string]struct {
		status   reconciler.Status
		obstacle string
		says     string
	}{
		"ready, though its agent ends": {status: apitest.Status(apitest.Bottle("one", "NotReady", "", sidecar("running", ""), agent))},
		"a sidecar is not ready":       {status: apitest.Status(apitest.Bottle("one", "NotReady", "", sidecar("exited", "it ended"), agent)), obstacle: "pipelock: it ended"},
		"nothing is there yet":         {status: apitest.Status(apitest.Bottle("one", "Failed", "no image")), obstacle: "Failed: no image"},
		"the controller has started":   {status: starting, obstacle: "the controller's first sync is not done yet"},
		"suspended":                    {status: apitest.Status(apitest.Bottle("one", "Suspended", "")), says: "it is suspended"},
		"unknown":                      {status: apitest.Status(), says: `there is no bottle "one"`},
	} {
		obstacle, err := sessionObstacle(c.status, "one")
		if obstacle != c.obstacle || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v, want %q, %q", name, obstacle, err, c.obstacle, c.says)
		}
	}
}

func TestAwaitSidecars(t *testing.T) {
	notReady := apitest.Status(apitest.Bottle("one", "NotReady", "", apitest.Component(state.Pipelock, "exited", 0)))
	ready := apitest.Status(apitest.Bottle("one", "Ready", "", apitest.Component(state.Pipelock, "running", 0)))
	for name, c := range map[string]struct {
		then []reconciler.Status // one a second
		says string
	}{
		"ready in time": {then: []reconciler.Status{notReady, ready}},
		"too late":      {then: []reconciler.Status{notReady}, says: "its sidecars are not ready after 5s: pipelock"},
		"deleted":       {then: []reconciler.Status{notReady, apitest.Status()}, says: `there is no bottle "one"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			controller := &fakeController{}
			controller.set(&c.then[0])
			go func() {
				for _, status := range c.then[1:] {
					<-time.After(time.Second)
					controller.set(&status)
				}
			}()
			err := awaitSidecars(t.Context(), &StatusSource{controller: controller}, "one", 5*time.Second, zerolog.Nop())
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", name, err, c.says)
			}
		})
	}
}
