package kinds

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// TestContract pins what others rely on: names, order, ports, who is asked how, and the image settings.
func TestContract(t *testing.T) {
	const want = `pipelock http://pipelock:8888 reachable=false direct=false [] pipelock-image CLAUDE_BOTTLE_PIPELOCK_IMAGE
cred-proxy http://cred-proxy:9099 reachable=true direct=false [] cred-proxy-image CLAUDE_BOTTLE_CRED_PROXY_IMAGE
supervise http://supervise:9100 reachable=true direct=true [/run/supervise /etc/claude-bottle] supervise-image CLAUDE_BOTTLE_SUPERVISE_IMAGE
ingress http://ingress:0 reachable=false direct=false [] ingress-image 
agent http://agent:0 reachable=false direct=false [/.bottled] agent-image CLAUDE_BOTTLE_AGENT_IMAGE
`
	var got strings.Builder
	for _, name := range All.Names() {
		k := All.Of(name)
		fmt.Fprintln(&got, k.Name, k.URL(), fmt.Sprintf("reachable=%t direct=%t", k.Reachable, k.Direct), k.AgentPaths, k.ImageFlag(), k.Image.Legacy)
		if !contract.IsName(k.Name) {
			t.Errorf("manifests may use the name %s", k.Name)
		}
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, k := range All.Kinds() {
		if k.ComponentName().IsSession() && contract.IsName(k.Name) {
			t.Errorf("%s has no alias, and yet its name is reserved", k.Name)
		}
	}
}

// A sidecar's program must begin to save memory before its container's limit ends it.
func TestSidecarsAreComplete(t *testing.T) {
	ports := map[int]string{}
	for _, k := range All.Kinds() {
		if k.Workload || k.ComponentName().IsSession() {
			continue
		}
		if k.Needed == nil || k.Render == nil || k.Limits.NanoCPUs <= 0 || k.Limits.Pids <= 0 || k.GoMemoryLimit <= 0 || k.GoMemoryLimit >= k.Limits.Memory {
			t.Errorf("%s: %+v", k.Name, k)
		}
		if k.Port != 0 && ports[k.Port] != "" {
			t.Errorf("%s and %s listen on port %d", k.Name, ports[k.Port], k.Port)
		}
		ports[k.Port] = k.Name
	}
}

func TestOrder(t *testing.T) {
	names := []state.ComponentName{"later", state.Session, state.Agent, "service-z", "service-a", state.Ingress, state.Supervise, state.CredProxy, state.Pipelock}
	slices.SortStableFunc(names, All.Compare)
	want := []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, state.Ingress, "service-z", "service-a", state.Agent, "later", state.Session}
	if !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if k := All.Of("later"); k.Workload || k.Reports || k.Audited || k.Image != nil || k.Ready != component.ReadyWhenHealthy {
		t.Errorf("a component that is not known: %+v", k)
	}
	if k := All.Of("service-db"); k.Name != "db" || k.ComponentName() != "service-db" || !k.Workload || k.Ready != component.ReadyWhenStableAndHealthy {
		t.Errorf("a service: %+v", k)
	}
	for _, none := range []state.ComponentName{"service-", "service", "service-a.b", "service-A"} {
		if All.Has(none) || All.Of(none).Workload {
			t.Errorf("%s is a component", none)
		}
	}
	if want := []string{"pipelock", "cred-proxy", "supervise", "ingress", "service-NAME", "agent"}; !slices.Equal(All.Forms(), want) {
		t.Errorf("components are called %q, want %q", All.Forms(), want)
	}
	if All.Has(state.Session) || All.Has("later") || !All.Has(state.Agent) {
		t.Error("sessions and unknown components can be declared, or the agent can't")
	}
}
