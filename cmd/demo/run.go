package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Where the demo finds things, from the repository's root.
const (
	bottledPath = "bin/bottled"
	demoPath    = "bin/bottled-demo"
	configPath  = "docs/examples/demo.config.yaml"
	manifestDir = "docs/examples/demo"
	workDir     = ".demo" // the state directory is in it, see configPath
)

// Names that follow from the bundled manifests and configPath.
const (
	owner         = "demo"
	upstreamName  = "demo-bottle-upstream"
	builderEgress = "demo-bottle-egress-builder"
	builderNet    = "demo-bottle-net-builder"
	builderAgent  = "demo-bottle-agent-builder"
	builderProxy  = "demo-bottle-cred-proxy-builder"
	reviewerAgent = "demo-bottle-agent-reviewer"
	apiHost       = "api.demo.example"
	docsHost      = "docs.demo.example"
)

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the demo: two bottles from files, and proofs of what their agents can reach",
		Long: `Run the demo, in the repository's root, with bin/bottled and bin/bottled-demo built. It needs no internet: no packet
leaves this machine. Remove all of it with bottled-demo down.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{shell: &shell{out: cmd.OutOrStdout()}}
			return d.run(cmd.Context())
		},
	}
}

// demo is one run of the demo.
type demo struct {
	*shell
	proofs, failed int
}

func (d *demo) run(ctx context.Context) error {
	if err := d.preflight(ctx); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{d.prepare, d.reconcile, d.startUpstream, d.proveEgress, d.proveToken, d.proveSupervise, d.proveConverged} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if d.failed > 0 {
		return fmt.Errorf("%d of %d claims do not hold; to remove the demo: %s down", d.failed, d.proofs, demoPath)
	}
	d.say(`All %d claims hold. Look around:
  bin/bottled --config %s status
  docker exec %s /bottled-demo fetch http://%s/
  docker logs demo-bottle-pipelock-builder
  edit %s/builder.yaml, then: bin/bottled --config %s plan %s
Remove all of it with: task demo:down   (without task: %s down)`, d.proofs, configPath, builderAgent, docsHost, manifestDir, configPath, manifestDir, demoPath)
	return nil
}

// preflight says what is missing before anything is begun.
func (d *demo) preflight(ctx context.Context) error {
	for _, path := range []string{configPath, manifestDir} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run this in the root of bottled's repository", err)
		}
	}
	for _, path := range []string{bottledPath, demoPath} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: build it first (task build)", err)
		}
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("the demo shows docker commands: %w (task setup installs it on Debian and Ubuntu)", err)
	}
	if _, err := d.must(ctx, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		return fmt.Errorf("no docker engine answers (task setup installs one on Debian and Ubuntu): %w", err)
	}
	return d.removeUpstream(ctx)
}

func (d *demo) prepare(ctx context.Context) error {
	d.say("1. Files for an API that runs on this machine: certificates and a token. And an image for agents.\n")
	if err := d.through(ctx, demoPath, "prepare", manifestDir, "--host", apiHost, "--host", docsHost); err != nil {
		return err
	}
	if err := d.through(ctx, demoPath, "image"); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(manifestDir, tokenFile))
	if err != nil {
		return err
	}
	d.secret = strings.TrimSpace(string(token))
	return nil
}

func (d *demo) reconcile(ctx context.Context) error {
	d.say("2. Two bottles from the manifests in %s.\n", manifestDir)
	if err := d.through(ctx, bottled("reconcile", "--once", manifestDir)...); err != nil {
		return err
	}
	return d.through(ctx, bottled("status")...)
}

// bottled is a command line of bottled with the demo's settings.
func bottled(args ...string) []string {
	return append([]string{bottledPath, "--config", configPath}, args...)
}

func (d *demo) startUpstream(ctx context.Context) error {
	d.say("3. The API: a container where the internet would be, beside the builder's pipelock.\n")
	args := []string{
		"docker", "run", "--detach", "--pull", "never", "--name", upstreamName, "--label", "bottled-demo=upstream",
		"--network", builderEgress, "--network-alias", apiHost, "--network-alias", docsHost,
		"--user", containerUser(), "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
		"--memory", "64m", "--cpus", "0.5", "--pids-limit", "64",
	}
	for _, name := range []string{certFile, keyFile} { // not the token, which lies beside them
		path, err := filepath.Abs(filepath.Join(manifestDir, name))
		if err != nil {
			return err
		}
		args = append(args, "--mount", "type=bind,readonly,source="+path+",target=/certs/"+name)
	}
	args = append(args, latest, "upstream", "--cert-dir", "/certs", "--mask-authorization")
	if err := d.through(ctx, args...); err != nil {
		return err
	}
	return d.awaitUpstream(ctx)
}

// containerUser can read the server's key, see prepare.
func containerUser() string {
	if os.Geteuid() == 0 {
		return strconv.Itoa(imageUser) + ":" + strconv.Itoa(imageUser)
	}
	return strconv.Itoa(os.Geteuid()) + ":" + strconv.Itoa(os.Getegid())
}

func (d *demo) awaitUpstream(ctx context.Context) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		r, err := d.quiet(ctx, "docker", "exec", upstreamName, "/bottled-demo", "dial", "127.0.0.1:80", "127.0.0.1:443")
		if err != nil || r.code == 0 {
			return err
		}
		if time.Now().After(deadline) {
			logs, err := d.must(ctx, "docker", "logs", upstreamName)
			return errors.Join(fmt.Errorf("the upstream does not serve: %s; its log: %s", strings.TrimSpace(r.output), logs), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// removeUpstream takes away what an earlier run left.
func (d *demo) removeUpstream(ctx context.Context) error {
	id, err := d.must(ctx, "docker", "ps", "--all", "--quiet", "--filter", "label=bottled-demo=upstream", "--filter", "name=^/"+upstreamName+"$")
	if err != nil || id == "" {
		return err
	}
	_, err = d.must(ctx, "docker", "rm", "--force", "--volumes", id)
	return err
}
