package render

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/state"
)

func TestSession(t *testing.T) {
	agent := state.Container{
		Name: "p-agent-dev", Image: "i", Command: []string{"agent"}, Env: map[string]string{"A": "b"}, Labels: map[string]string{state.LabelRole: "agent", state.LabelHash: "x"},
		Networks: []state.Attachment{{Network: "p-net-dev", Aliases: []string{"agent"}}}, Limits: state.Limits{Pids: 7}, Log: state.Log{Driver: "json-file"},
	}
	b := state.Bottle{Slug: "dev", Components: []state.Component{{Name: state.Pipelock}, {Name: state.Agent, Container: agent}}}
	before := cmp.Diff(b, state.Bottle{})
	got, err := Session(b, "p", []string{"sh"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Session(b, "p", nil)
	if err != nil || other.Name == got.Name || other.Command[0] != "agent" {
		t.Errorf("another session: %+v, %v", other, err)
	}
	want := agent
	want.Name, want.Command, want.Log = got.Name, []string{"sh"}, state.Log{Driver: "none"}
	want.Networks = []state.Attachment{{Network: "p-net-dev"}}
	want.Additions.Launcher = true
	want.Labels = map[string]string{state.LabelRole: "run", state.LabelHash: got.Hash()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if cmp.Diff(b, state.Bottle{}) != before {
		t.Error("making a session changed the bottle")
	}
	if _, err := Session(state.Bottle{Components: b.Components[:1]}, "p", nil); !errors.Is(err, ErrNoAgent) {
		t.Errorf("without an agent: %v", err)
	}
}
