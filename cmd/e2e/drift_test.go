package e2e

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestDriftIsRepaired interferes as a person with the docker CLI would. Each time, plan must see it, reconcile must
// repair it, and a deep look afterwards must find nothing.
func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	e := newWhole(t, "one")
	e.Reconcile(exitDone)
	agent, pipelock, credProxy, supervise := e.Name(state.Agent, "one"), e.Name(state.Pipelock, "one"), e.Name(state.CredProxy, "one"), e.Name(state.Supervise, "one")
	internal, egress := e.Network("net", "one"), e.Network("egress", "one")

	// rerun makes the agent again with other arguments, keeping its labels: a forged container.
	rerun := func(args ...string) {
		command := []string{"agent"}
		if len(args) == 0 {
			command = []string{"fetch", "--help"}
		}
		labels := e.Docker("inspect", "-f", `{{range $k, $v := .Config.Labels}}--label={{$k}}={{$v}} {{end}}`, agent)
		e.Docker("rm", "-f", agent)
		base := append([]string{"run", "-d", "--name", agent, "--network", internal, "--network-alias", "agent"}, strings.Fields(labels)...)
		e.Docker(append(append(append(base, args...), harness.AgentImage), command...)...)
	}
	cases := []struct {
		name, says string
		interfere  func()
		deep       bool // a listing can't show it
	}{
		{"stopped", "ended with exit code", func() { e.Docker("stop", agent) }, false},
		{"killed", "ended with exit code", func() { e.Docker("kill", credProxy) }, false},
		{"paused", "is paused", func() { e.Docker("pause", pipelock) }, false},
		{"removed", "is missing", func() { e.Docker("rm", "-f", supervise) }, false},
		{"restarted", "", func() { e.Docker("restart", "-t", "1", credProxy) }, false},
		{"extra network", "which is not declared", func() { e.Docker("network", "connect", "bridge", agent) }, false},
		{"egress for the agent", "which is not declared", func() { e.Docker("network", "connect", egress, agent) }, false},
		{"egress lost", "is not on network", func() { e.Docker("network", "disconnect", egress, pipelock) }, false},
		{"internal lost", "is not on network", func() { e.Docker("network", "disconnect", internal, agent) }, false},
		{"alias lost", "alias", func() {
			e.Docker("network", "disconnect", internal, supervise)
			e.Docker("network", "connect", internal, supervise)
		}, false},
		{"alias stolen", "alias", func() {
			e.Docker("network", "disconnect", internal, agent)
			e.Docker("network", "connect", "--alias", "agent", "--alias", "cred-proxy", internal, agent)
		}, false},
		{"memory limit", "limits.memory", func() { e.Docker("update", "--memory", "1g", "--memory-swap", "1g", agent) }, true},
		{"swap", "limits.swap", func() { e.Docker("update", "--memory", "1g", "--memory-swap", "2g", agent) }, true},
		{"pids limit", "limits.pids", func() { e.Docker("update", "--pids-limit", "9", pipelock) }, true},
		{"restart policy", "restart", func() { e.Docker("update", "--restart", "always", agent) }, true},
		{"cpu shares", "extras", func() { e.Docker("update", "--cpu-shares", "12", agent) }, true},
		{"renamed", "name", func() { e.Docker("rename", agent, agent+"-x") }, false},
		{"privileged", "extras", func() { rerun("--privileged") }, false},
		{"the kernel's files unmasked", "MaskedPaths=(none)", func() { rerun("--security-opt", "systempaths=unconfined") }, false},
		{"the kernel's settings writable", "ReadonlyPaths=(none)", func() { rerun("--security-opt", "systempaths=unconfined") }, false},
		{"a sysctl", "Sysctls=", func() { rerun("--sysctl", "net.ipv4.ping_group_range=0 1") }, false},
		{"a device", "Devices=", func() { rerun("--device", "/dev/null:/dev/other") }, false},
		{"capability", "capAdd", func() { rerun("--cap-add", "NET_ADMIN") }, false},
		{"system calls", "securityOpt", func() { rerun("--security-opt", "seccomp=unconfined") }, false},
		{"spared when memory runs out", "oomScore", func() { rerun("--oom-score-adj", "5") }, false},
		{"other user", "user", func() { rerun("--user", "1234") }, false},
		{"host mount", "mounts", func() { rerun("-v", "/etc:/host-etc:ro") }, false},
		{"other environment", "env", func() { rerun("-e", "HTTPS_PROXY=http://evil.example") }, false},
		{"other command", "command", func() { rerun() }, false},
		{"published port", "extras", func() { rerun("-p", "127.0.0.1::80") }, false},
		{"both networks removed", "is missing", func() {
			e.Docker("rm", "-f", agent, pipelock, credProxy, supervise)
			e.Docker("network", "rm", internal, egress)
		}, false},
		{"everything stopped", "ended with exit code", func() { e.Docker("stop", "-t", "1", agent, pipelock, credProxy, supervise) }, false},
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
			if c.says != "" && (r.Code != exitDifferences || !strings.Contains(r.Stdout, c.says)) {
				t.Errorf("plan exits with %d and does not say %q:\n%s%s", r.Code, c.says, r.Stdout, r.Stderr)
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
