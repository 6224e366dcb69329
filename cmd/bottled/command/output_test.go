package command_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/observe"
)

// TestHostileTextsDoNotSteerTheTerminal has hostile texts in everything that a status and a plan show, and in a log line.
func TestHostileTextsDoNotSteerTheTerminal(t *testing.T) {
	for _, name := range terminaltest.HostileTexts {
		for _, output := range []command.Output{"table", "json", "yaml"} {
			var out bytes.Buffer
			if err := output.Status(terminal.OnWriter(&out, false, false), hostileStatus(name)); err != nil {
				t.Fatal(err)
			}
			terminaltest.AssertReadable(t, string(output), out.String())
			assertExact(t, output, out.Bytes(), string([]rune(name)))
		}
		var out bytes.Buffer
		if err := command.Output("table").Plan(terminal.OnWriter(&out, false, false), hostilePlan(name)); err != nil {
			t.Fatal(err)
		}
		terminaltest.AssertReadable(t, "plan", out.String())
		for _, onTerminal := range []bool{false, true} {
			var out bytes.Buffer
			logger := zerolog.New(terminal.OnWriter(&out, onTerminal, false).LogWriter())
			logger.Warn().Err(errors.New(name)).Str("object", name).Strs("bottles", []string{name}).Msg(name)
			terminaltest.AssertReadable(t, "log", out.String())
		}
	}
}

// hostileStatus has a text everywhere.
func hostileStatus(text string) reconciler.Status {
	bottle := apitest.Bottle("a", "Failed"+text, "container "+text+" is foreign", apitest.Component(state.Pipelock, text, 2))
	bottle.Components[0].Image = text
	s := apitest.Status(apitest.WithConditions(bottle, 0, text, text))
	s.Controller.SourceError, s.Controller.Revision = text, text
	s.Controller.Problems, s.Controller.Held, s.Controller.HeldReason = []string{text}, []string{text}, text
	s.Warnings, s.Controller.Warnings = []string{text}, []string{"late: " + text}
	return s
}

func hostilePlan(text string) service.Planned {
	return service.Planned{Settings: state.Settings{Images: map[state.ComponentName]string{state.Pipelock: text}}, Plan: plan.Plan{Bottles: []plan.BottlePlan{
		{Slug: "a", Err: fmt.Errorf("container %s is foreign", text)},
		{Slug: "b", Steps: []plan.Step{{
			Action: plan.Remove, Component: state.Agent, Object: text, Cause: text,
			Changes: []observe.Change{{Field: text, Before: text, After: "x\n" + text}},
		}}},
	}, Held: []string{text}, HeldWhy: text}}
}

// assertExact fails when programs would not read a status's revision as it is.
func assertExact(t *testing.T, output command.Output, text []byte, want string) {
	t.Helper()
	var got reconciler.Status
	var err error
	switch output {
	case "json":
		err = json.Unmarshal(text, &got)
	case "yaml":
		err = yaml.Unmarshal(text, &got)
	default:
		if !bytes.Contains(text, []byte("\nwarning: late: ")) {
			t.Errorf("the controller's warning is missing in\n%s", text)
		}
		return
	}
	if err != nil || got.Controller.Revision != want {
		t.Errorf("%s is not exact: %q, want %q; %v", output, got.Controller.Revision, want, err)
	}
}
