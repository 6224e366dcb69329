package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// prove runs a command in front of the reader and says whether what it did is what is claimed.
func (d *demo) prove(ctx context.Context, claim string, holds func(result) bool, args ...string) error {
	r, err := d.shown(ctx, args...)
	if err != nil {
		return err
	}
	d.verdict(claim, holds(r))
	return nil
}

func (d *demo) verdict(claim string, holds bool) {
	d.proofs++
	sign := "✓"
	if !holds {
		d.failed++
		sign = "✗ does not hold:"
	}
	d.say("%s %s\n", sign, claim)
}

// inAgent is a command of this program in an agent's container.
func inAgent(container string, args ...string) []string {
	return append([]string{"docker", "exec", container, "/bottled-demo"}, args...)
}

// proveEgress shows what the builder's agent reaches and what not.
func (d *demo) proveEgress(ctx context.Context) error {
	d.say("4. What the builder's agent reaches.\n")
	err := d.prove(ctx, "A host on the manifest's allowlist can be reached, through pipelock.",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, `"host":"`+docsHost+`"`) },
		inAgent(builderAgent, "fetch", "http://"+docsHost+"/guide")...)
	if err != nil {
		return err
	}
	forbidden := func(r result) bool { return r.code == 1 && strings.Contains(r.output, "403 Forbidden") }
	err = d.prove(ctx, "A host that is not on the list is refused with 403.", forbidden,
		inAgent(builderAgent, "fetch", "http://exfil.demo.example/")...)
	if err != nil {
		return err
	}
	err = d.prove(ctx, "So is the tunnel (CONNECT) that https to it would need.", forbidden,
		inAgent(builderAgent, "fetch", "https://exfil.demo.example/")...)
	if err != nil {
		return err
	}
	if err := d.proveNoDirectWay(ctx); err != nil {
		return err
	}
	return d.proveNoHost(ctx)
}

func (d *demo) proveNoDirectWay(ctx context.Context) error {
	address, err := d.must(ctx, "docker", "inspect", "--format", `{{(index .NetworkSettings.Networks "`+builderEgress+`").IPAddress}}`, upstreamName)
	if err != nil {
		return err
	}
	return d.prove(ctx, "Without pipelock there is no way to it: "+address+" is the address that answered above.", allClosed,
		inAgent(builderAgent, "dial", address+":80", address+":443")...)
}

// allClosed holds when dial has tried and found nothing open.
func allClosed(r result) bool {
	return r.code == 1 && strings.Contains(r.output, " closed: ") && !strings.Contains(r.output, " open")
}

// proveNoHost opens a port of the host, sees that it is open, and that the agent can't reach it.
func (d *demo) proveNoHost(ctx context.Context) error {
	port, stop, err := listen(ctx)
	if err != nil {
		return fmt.Errorf("open a port on this host: %w", err)
	}
	defer stop()
	var addresses []string
	for _, network := range []string{builderNet, builderEgress} {
		gateway, err := d.gateway(ctx, network)
		if err != nil {
			return err
		}
		addresses = append(addresses, net.JoinHostPort(gateway, port))
	}
	d.say("(The demo listens on port %s of this host, on every address.)", port)
	err = d.prove(ctx, "The host itself reaches that port, at its address on the builder's egress network.",
		func(r result) bool { return r.code == 0 }, demoPath, "dial", addresses[1])
	if err != nil {
		return err
	}
	return d.prove(ctx, "The agent does not: neither there nor at its own network's gateway.", allClosed,
		inAgent(builderAgent, append([]string{"dial"}, addresses...)...)...)
}

// listen accepts and closes connections on some port of every address of the host.
func listen(ctx context.Context) (port string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0") // every address is the point: containers must not reach even that
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed by stop
			}
			_ = conn.Close() // nobody is on the other end but this demo
		}
	}()
	_, port, err = net.SplitHostPort(listener.Addr().String())
	return port, func() { _ = listener.Close() }, err
}

// gateway is the address that the host has, or would have, on a network.
func (d *demo) gateway(ctx context.Context, network string) (string, error) {
	text, err := d.must(ctx, "docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", network)
	if err != nil {
		return "", err
	}
	subnet, err := netip.ParsePrefix(text)
	if err != nil {
		return "", fmt.Errorf("network %s: %w", network, err)
	}
	return subnet.Addr().Next().String(), nil
}

// proveToken shows that the upstream saw a token that is nowhere near the agent.
func (d *demo) proveToken(ctx context.Context) error {
	d.say("5. A token that the agent never has.\n")
	err := d.prove(ctx, "The agent calls the API by way of cred-proxy. It sends no token.",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, `"path":"/v1/me"`) },
		inAgent(builderAgent, "fetch", "http://cred-proxy:9099/api/v1/me")...)
	if err != nil {
		return err
	}
	if err := d.awaitLog(ctx); err != nil {
		return err
	}
	err = d.prove(ctx, "The API saw the token of "+manifestDir+"/token, over TLS.",
		func(r result) bool {
			return strings.Contains(r.output, `"Authorization":["Bearer `+d.secret+`"]`) && strings.Contains(r.output, `"tls":true`)
		},
		"docker", "logs", "--tail", "1", upstreamName)
	if err != nil {
		return err
	}
	err = d.prove(ctx, "The agent's environment does not have it.",
		func(r result) bool { return r.code == 0 && !strings.Contains(r.output, d.secret) },
		inAgent(builderAgent, "env")...)
	if err != nil {
		return err
	}
	return d.proveInspect(ctx)
}

// awaitLog waits until the engine has collected the upstream's last line, which it does a little later.
func (d *demo) awaitLog(ctx context.Context) error {
	for range 20 {
		line, err := d.must(ctx, "docker", "logs", "--tail", "1", upstreamName)
		if err != nil || strings.Contains(line, `"path":"/v1/me"`) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil // the proof shows what is there instead
}

func (d *demo) proveInspect(ctx context.Context) error {
	args := []string{"docker", "inspect", builderAgent, builderProxy}
	d.say("$ %s", quote(args))
	text, err := d.must(ctx, args...)
	if err != nil {
		return err
	}
	d.say("  (%d lines)", 1+strings.Count(text, "\n"))
	d.verdict("docker inspect shows it for neither the agent nor cred-proxy.", !strings.Contains(text, d.secret))
	return nil
}

func (d *demo) proveSupervise(ctx context.Context) error {
	d.say("6. The supervised agent asks for more.\n")
	return d.prove(ctx, "The reviewer's agent has the three tools by which it asks a human.",
		func(r result) bool {
			return r.code == 0 && strings.Contains(r.output, "cred-proxy-block: ") &&
				strings.Contains(r.output, "pipelock-block: ") && strings.Contains(r.output, "capability-block: ")
		},
		inAgent(reviewerAgent, "tools", "http://supervise:9100")...)
}

func (d *demo) proveConverged(ctx context.Context) error {
	d.say("7. Once more.\n")
	before, err := d.running(ctx)
	if err != nil {
		return err
	}
	if err := d.through(ctx, bottled("reconcile", "--once", manifestDir)...); err != nil {
		return err
	}
	after, err := d.running(ctx)
	if err != nil {
		return err
	}
	d.verdict(fmt.Sprintf("A second pass finds nothing to do: the same %d containers run, since the same time.", len(before)),
		len(before) > 0 && slices.Equal(before, after))
	return nil
}

// running tells each container of the demo's bottles and when it was started.
func (d *demo) running(ctx context.Context) ([]string, error) {
	ids, err := d.must(ctx, "docker", "ps", "--quiet", "--no-trunc", "--filter", "label=bottled.owner="+owner)
	if err != nil || ids == "" {
		return nil, err
	}
	text, err := d.must(ctx, append([]string{"docker", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}"}, strings.Fields(ids)...)...)
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return lines, err
}
