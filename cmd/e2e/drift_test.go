package e2e

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestDriftIsRepaired makes, as a person with the docker CLI would, the differences whose detection depends on the engine; the rest
// of the table runs on the engine in memory (reconciler/sim). Each time plan must see it, reconcile must repair it, and a deep plan
// afterwards must find nothing.
func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Reconcile(exitDone)
	agent, pipelock, supervise := e.Name(state.Agent, "one"), e.Name(state.Pipelock, "one"), e.Name(state.Supervise, "one")
	internal := e.Network("net", "one")

	// rerun makes the agent again with other arguments, keeping its labels: a forged container.
	rerun := func(args ...string) {
		labels := e.Docker("inspect", "-f", `{{range $k, $v := .Config.Labels}}--label={{$k}}={{$v}} {{end}}`, agent)
		e.Docker("rm", "-f", agent)
		base := append([]string{"run", "-d", "--name", agent, "--network", internal, "--network-alias", "agent"}, strings.Fields(labels)...)
		e.Docker(append(append(base, args...), harness.AgentImage, "agent")...)
	}
	cases := []struct {
		name, says string
		interfere  func()
		deep       bool // a listing can't show it
	}{
		{"states and networks", "is paused|which is not declared|alias", func() {
			e.Docker("pause", pipelock)
			e.Docker("network", "connect", "bridge", agent)
			e.Docker("network", "disconnect", internal, supervise)
			e.Docker("network", "connect", internal, supervise)
		}, false},
		{"updated", "limits.memory|limits.swap|restart|extras", func() {
			e.Docker("update", "--memory", "1g", "--memory-swap", "2g", "--restart", "always", agent)
			e.Docker("update", "--cpu-shares", "12", e.Name(state.CredProxy, "one"))
		}, true},
		{"privileged", "extras", func() { rerun("--privileged") }, false},
		{"forged", "MaskedPaths=(none)|ReadonlyPaths=(none)|Sysctls=|devices: |capAdd|securityOpt|oomScore|mounts|PortBindings=", func() {
			rerun("--security-opt", "systempaths=unconfined", "--security-opt", "seccomp=unconfined", "--sysctl", "net.ipv4.ping_group_range=0 1",
				"--device", "/dev/null:/dev/other", "--cap-add", "NET_ADMIN", "--oom-score-adj", "5", "-v", "/etc:/host-etc:ro", "-p", "127.0.0.1::80")
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := e.In(t)
			c.interfere()
			look := []string{"plan", e.Manifests}
			if c.deep {
				look = append(look, "--deep")
			}
			r := e.Bottled(look...)
			for says := range strings.SplitSeq(c.says, "|") {
				if r.Code != exitDifferences || !strings.Contains(r.Stdout, says) {
					t.Errorf("plan exits with %d and does not say %q:\n%s%s", r.Code, says, r.Stdout, r.Stderr)
				}
			}
			e.Reconcile(exitDone, look[2:]...)
			if r := e.Bottled("plan", "--deep", e.Manifests); r.Code != exitDone {
				t.Errorf("not repaired:\n%s%s", r.Stdout, r.Stderr)
			}
			if b := status(t, e)["one"]; !b.Ready {
				t.Errorf("status: %+v", b)
			}
			if out, code := e.Agent("one", "dial", "pipelock:8888", "cred-proxy:9099", "supervise:9100"); code != 0 {
				t.Errorf("the agent does not reach its sidecars:\n%s", out)
			}
		})
	}
}
