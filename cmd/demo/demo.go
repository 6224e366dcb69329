package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Names that follow from the examples and configPath.
const (
	owner           = "demo"
	agentImage      = "bottled-demo:latest"
	upstreamName    = "demo-bottle-upstream"
	builderEgress   = "demo-bottle-egress-builder"
	builderNet      = "demo-bottle-net-builder"
	builderAgent    = "demo-bottle-agent-builder"
	builderPipelock = "demo-bottle-pipelock-builder"
	builderProxy    = "demo-bottle-cred-proxy-builder"
	reviewerAgent   = "demo-bottle-agent-reviewer"
	visitorAgent    = "demo-bottle-agent-visitor"
	apiHost         = "api.demo.example"
	docsHost        = "docs.demo.example"
	newHost         = "new.demo.example"
	askedHost       = "asked.demo.example"
)

// demo is one run of the demo.
type demo struct {
	*shell
	claims, failed int
}

func (d *demo) run() {
	d.setUp()
	d.removeUpstream()
	d.prepare()
	stop := d.startController()
	defer stop()
	d.startUpstream()
	d.proveEgress()
	d.proveToken()
	d.proveTools()
	d.proveKept()
	d.proveAsked()
	stop()
	d.provePlanned()
	if d.err == nil && d.failed > 0 {
		d.fail(fmt.Errorf("%d of %d claims do not hold; to remove the demo: go run ./cmd/demo down", d.failed, d.claims))
	}
	d.say(`All %d claims hold. The bottles keep running. Look around:
  %s
  %s   # heals and reloads again; edit %[4]s/builder.yaml
  docker exec %s /bottled-demo fetch http://%s/
  docker logs %s
Remove all of it with: go run ./cmd/demo down`,
		d.claims, quote(bottled("status")), quote(bottled("reconcile", manifestDir)), manifestDir, builderAgent, docsHost, builderPipelock)
}

// bottled is a command line of bottled with the demo's settings.
func bottled(args ...string) []string {
	return append([]string{bottledPath, "--config", configPath}, args...)
}

// inAgent is a command in an agent's container.
func inAgent(container string, args ...string) []string {
	return append([]string{"docker", "exec", container, "/bottled-demo"}, args...)
}

// prove shows a command and says whether what it did is what is claimed.
func (d *demo) prove(claim string, holds func(result) bool, args ...string) {
	r := d.show(args...)
	d.verdict(claim, holds(r))
}

func (d *demo) verdict(claim string, holds bool) {
	d.claims++
	sign := "✓"
	if !holds {
		d.failed++
		sign = "✗ does not hold:"
	}
	d.say("%s %s\n", sign, claim)
}

// startController starts bottled in the background, for copies of the examples, and waits for the bottles.
func (d *demo) startController() (stop func()) {
	d.say("\n2. The controller, and two bottles from manifests.\n")
	d.fail(os.RemoveAll(manifestDir))
	d.do("cp", "-r", exampleDir, manifestDir)
	args := bottled("reconcile", manifestDir)
	d.say("$ %s 2> %s &", quote(args), logPath)
	if d.err != nil {
		return func() {}
	}
	log, err := os.Create(logPath)
	if err != nil {
		d.fail(err)
		return func() {}
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // ended by stop
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which ends it
	if err := cmd.Start(); err != nil {
		d.fail(err)
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its log says how it ended
		close(ended)
	}()
	d.await(func() bool {
		select {
		case <-ended:
			d.fail(errors.New("the controller ended; see " + logPath))
		default:
		}
		return d.quiet(bottled("sync", "--timeout", "10s")...).code == 0
	})
	d.do(bottled("sync")...)
	d.do(bottled("status")...)
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
		<-ended
	}
}

// proveEgress shows what the builder's agent reaches and what not.
func (d *demo) proveEgress() {
	d.say("4. What the builder's agent reaches.\n")
	d.prove("A host on the manifest's allowlist can be reached, through pipelock.",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, `"host":"`+docsHost+`"`) },
		inAgent(builderAgent, "fetch", "http://"+docsHost+"/guide")...)
	d.prove("A host that is not on the list is refused with 403.", forbidden, inAgent(builderAgent, "fetch", "http://"+newHost+"/")...)
	d.prove("So is the tunnel (CONNECT) that https to it would need.", noTunnel, inAgent(builderAgent, "fetch", "https://"+newHost+"/")...)
	address := d.ask("docker", "inspect", "--format", `{{(index .NetworkSettings.Networks "`+builderEgress+`").IPAddress}}`, upstreamName)
	d.prove("Without pipelock there is no way to it: "+address+" is the address that answered above.", allClosed,
		inAgent(builderAgent, "dial", address+":80", address+":443")...)
	d.proveNoHost()
}

// noTunnel is a tunnel's refusal, whose status line has the reason.
func noTunnel(r result) bool {
	return r.code == 1 && strings.Contains(r.output, "the proxy answered 403 Blocked by sandbox policy: domain not in allowlist: "+newHost)
}

func forbidden(r result) bool { return r.code == 1 && strings.Contains(r.output, "403 Forbidden") }

// allClosed holds when dial has tried and found nothing open.
func allClosed(r result) bool {
	return r.code == 1 && strings.Contains(r.output, " closed: ") && !strings.Contains(r.output, " open")
}

// proveNoHost opens a port of the host, sees that it is open, and that the agent can't reach it.
func (d *demo) proveNoHost() {
	listener, err := (&net.ListenConfig{}).Listen(d.ctx, "tcp4", "0.0.0.0:0") // on every address: containers must not reach even that
	if err != nil {
		d.fail(fmt.Errorf("open a port on this host: %w", err))
		return
	}
	defer listener.Close() // the kernel takes connections without an Accept
	_, port, err := net.SplitHostPort(listener.Addr().String())
	d.fail(err)
	d.say("(The demo listens on port %s of this host, on every address.)", port)
	outside, inside := net.JoinHostPort(d.gateway(builderEgress), port), net.JoinHostPort(d.gateway(builderNet), port)
	d.prove("The host itself reaches that port, at its address on the builder's egress network.",
		func(r result) bool { return r.code == 0 }, agentPath, "dial", outside)
	d.prove("The agent does not: neither there nor at its own network's gateway.", allClosed, inAgent(builderAgent, "dial", inside, outside)...)
}

// gateway is the address that the host has, or would have, on a network.
func (d *demo) gateway(network string) string {
	text := d.ask("docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", network)
	subnet, err := netip.ParsePrefix(text)
	if err != nil {
		d.fail(fmt.Errorf("network %s: %w", network, err))
	}
	return subnet.Addr().Next().String()
}

// proveToken shows that the API saw a token that is nowhere near the agent.
func (d *demo) proveToken() {
	d.say("5. A token that the agent never has.\n")
	d.prove("The agent calls the API by way of cred-proxy. It sends no token.",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, `"path":"/v1/me"`) },
		inAgent(builderAgent, "fetch", "http://cred-proxy:9099/api/v1/me")...)
	d.await(func() bool { // the engine collects output a little later
		return strings.Contains(d.ask("docker", "logs", "--tail", "1", upstreamName), `"path":"/v1/me"`)
	})
	d.prove("The API saw the token of "+certDir+"/token, over TLS.",
		func(r result) bool {
			return strings.Contains(r.output, `"Authorization":["Bearer `+d.secret+`"]`) && strings.Contains(r.output, `"tls":true`)
		},
		"docker", "logs", "--tail", "1", upstreamName)
	d.prove("The agent's environment does not have it.",
		func(r result) bool { return r.code == 0 && !strings.Contains(r.output, d.secret) }, inAgent(builderAgent, "env")...)
	args := []string{"docker", "inspect", builderAgent, builderProxy}
	d.say("$ %s", quote(args))
	text := d.ask(args...)
	d.say("  (%d lines)", 1+strings.Count(text, "\n"))
	d.verdict("docker inspect shows it for neither the agent nor cred-proxy.", text != "" && !strings.Contains(text, d.secret))
}

func (d *demo) proveTools() {
	d.say("6. What a supervised agent can ask a human for.\n")
	d.prove("The reviewer's agent has four tools to ask for more, and two to see what it has and what was answered.",
		func(r result) bool {
			for _, tool := range []string{"capability-block", "cred-proxy-block", "pipelock-block", "secret-request", "list-current-config", "proposal-status"} {
				if !strings.Contains(r.output, tool+": ") {
					return false
				}
			}
			return r.code == 0 && strings.Count(r.output, "\n") == 6
		},
		inAgent(reviewerAgent, "tools", "http://supervise:9100")...)
}

// proveKept drops a file, removes a container, edits a file and removes one while the controller runs.
func (d *demo) proveKept() {
	d.say("7. The controller keeps the bottles as declared.\n")
	succeeds := func(r result) bool { return r.code == 0 }
	d.do("cp", manifestDir+"/reviewer.yaml", workDir+"/visitor.yaml")
	d.do("sed", "-i", "s/reviewer/visitor/", workDir+"/visitor.yaml")
	d.do("mv", workDir+"/visitor.yaml", manifestDir)
	d.do(bottled("sync")...)
	d.prove("A file that is dropped into the directory is a bottle.", succeeds, inAgent(visitorAgent, "dial", "supervise:9100")...)

	d.do("docker", "rm", "--force", builderAgent)
	d.do(bottled("sync")...)
	d.prove("A container that somebody removes is made again.", succeeds, inAgent(builderAgent, "dial", "pipelock:8888")...)

	before := d.ask("docker", "ps", "--quiet", "--filter", "name="+builderPipelock)
	d.do("sed", "-i", "s/"+docsHost+"/"+docsHost+", "+newHost+"/", manifestDir+"/builder.yaml")
	d.do(bottled("sync")...)
	d.prove("A host that is added to the allowlist can be reached, ...", succeeds, inAgent(builderAgent, "fetch", "http://"+newHost+"/")...)
	d.prove("... and it is the same pipelock, which has reloaded its configuration.",
		func(r result) bool { return strings.TrimSpace(r.output) == before && before != "" },
		"docker", "ps", "--quiet", "--filter", "name="+builderPipelock)

	d.do("rm", manifestDir+"/visitor.yaml")
	gone := func(r result) bool { return r.code == 1 && strings.Contains(r.output, "there is no bottle") }
	d.await(func() bool { return gone(d.quiet(bottled("status", "visitor")...)) })
	d.prove("A bottle whose file is removed goes, two seconds later.", gone, bottled("status", "visitor")...)
}

func (d *demo) provePlanned() {
	d.say("9. Once more, without the controller.\n")
	d.prove("A plan finds nothing to do.", func(r result) bool { return r.code == 0 }, bottled("plan", manifestDir)...)
}
