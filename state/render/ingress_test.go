package render

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

func componentOf(t *testing.T, b state.Bottle, name state.ComponentName) (state.Component, bool) {
	t.Helper()
	i := slices.IndexFunc(b.Components, func(c state.Component) bool { return c.Name == name })
	if i < 0 {
		return state.Component{}, false
	}
	return b.Components[i], true
}

// Ports are the host's affair: they add the ingress, and change no container.
func TestPortsAddTheIngress(t *testing.T) {
	render := func(ports ...v1alpha1.Port) state.Bottle {
		m := fullManifest()
		m.Spec.Agent.Ports = ports
		b, err := Bottle(m, inputsOf(m), testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	without, one, two := render(), render(v1alpha1.Port{Container: 3000}), render(v1alpha1.Port{Container: 3000}, v1alpha1.Port{Container: 80})
	if _, has := componentOf(t, without, state.Ingress); has {
		t.Error("a bottle without ports has an ingress")
	}
	made, _ := componentOf(t, one, state.Ingress)
	c := made.Container
	if c.Name != "claude-bottle-ingress-dev" || !c.ReadOnlyRoot || c.User != testSettings.User || len(c.Env) > 0 || c.Limits.Memory == 0 {
		t.Errorf("the ingress: %+v", c)
	}
	if diff := cmp.Diff([]state.Attachment{{Network: "claude-bottle-net-dev", Aliases: []string{"ingress"}}}, c.Networks); diff != "" {
		t.Errorf("its networks (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]state.Mount{{Source: "/run/bottled/x/dev/ingress", Target: "/run/ingress", ReadOnly: true}}, c.Mounts); diff != "" {
		t.Errorf("its mounts (-want +got)\n%s", diff)
	}
	for _, component := range two.Components {
		before, has := componentOf(t, one, component.Name)
		if !has || before.Container.Hash() != component.Container.Hash() {
			t.Errorf("another port changes %s", component.Name)
		}
		if before, has := componentOf(t, without, component.Name); has && before.Container.Hash() != component.Container.Hash() {
			t.Errorf("the first port changes %s", component.Name)
		}
	}
}

// A port-forward's container is as confined as the ingress, in a bottle with an ingress or without.
func TestPortForward(t *testing.T) {
	m := fullManifest()
	m.Spec.Agent.Ports = []v1alpha1.Port{{Container: 3000}}
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	like, _ := componentOf(t, b, state.Ingress)
	c, dir := PortForward(b, testSettings)
	another, _ := PortForward(b, testSettings)
	if c.Name == another.Name || dir.Path != testSettings.PortForwardDir("dev", c.Name[len("claude-bottle-port-forward-dev-"):]) || !dir.Spool {
		t.Errorf("%s, %s in %+v", c.Name, another.Name, dir)
	}
	want := like.Container
	want.Name, want.Labels, want.Env = c.Name, c.Labels, nil
	want.Networks = []state.Attachment{{Network: "claude-bottle-net-dev"}} // without a name that others could ask for
	want.Mounts = []state.Mount{{Source: dir.Path, Target: "/run/ingress", ReadOnly: true}}
	want.Command = append(slices.Clone(want.Command), "--until-stdin-closes")
	want.Log = state.Log{Driver: "none"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("beside the ingress (-want +got)\n%s", diff)
	}
	if c.Labels[state.LabelRole] != "port-forward" || c.Labels[state.LabelOwner] != "default" || c.Labels[state.LabelSlug] != "dev" || c.Labels[state.LabelHash] != c.Hash() {
		t.Errorf("its labels: %v", c.Labels)
	}
}
