package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where the demo finds things, from the repository's root.
const (
	bottledPath = "bin/bottled"
	agentPath   = "bin/bottled-demo"
	configPath  = "docs/examples/demo.config.yaml"
	exampleDir  = "docs/examples/demo"
	workDir     = ".demo"              // also of the state directory, see configPath
	manifestDir = workDir + "/bottles" // copies of the examples, to be edited
	certDir     = workDir + "/certs"
	logPath     = workDir + "/controller.log"
)

// setUp gets an engine where none answers, and builds what the demo runs.
func (d *demo) setUp() {
	if _, err := os.Stat(exampleDir); err != nil {
		d.fail(fmt.Errorf("%w: run this in the root of bottled's repository", err))
		return
	}
	d.say("Set-up: a Docker engine, where none answers (it says what it will do first); two executables in bin/.\n" +
		"The first time Go downloads and compiles the modules they need: about a minute.\n")
	d.stream(".ci/engine")
	began := time.Now()
	args := []string{"go", "build", "-v", "-trimpath", "-o", "bin/", "./cmd/bottled", "./cmd/demo/bottled-demo"}
	d.say("$ CGO_ENABLED=0 %s", quote(args))
	if d.err != nil {
		return
	}
	cmd := command(d.ctx, args)
	progress := &progress{out: d.out, last: time.Now()}
	cmd.Stdout, cmd.Stderr = d.out, progress
	if err := cmd.Run(); err != nil {
		d.fail(fmt.Errorf("%s: %w\n%s", quote(args), err, progress.rest.String()))
	}
	d.say("  done after %s", time.Since(began).Round(time.Second))
}

// progress counts what `go build -v` says, and keeps what is neither a module nor a package: messages.
type progress struct {
	out               io.Writer
	modules, packages int
	line              strings.Builder
	last              time.Time // when the counts were printed
	rest              strings.Builder
}

// Write implements io.Writer.
func (p *progress) Write(data []byte) (int, error) {
	for _, c := range data {
		if c != '\n' {
			p.line.WriteByte(c)
			continue
		}
		switch line := p.line.String(); {
		case strings.HasPrefix(line, "go: downloading "):
			p.modules++
		case !strings.ContainsAny(line, " :"):
			p.packages++
		default:
			p.rest.WriteString(line + "\n")
		}
		p.line.Reset()
	}
	if time.Since(p.last) < 5*time.Second {
		return len(data), nil
	}
	p.last = time.Now()
	_, err := fmt.Fprintf(p.out, "  %d modules downloaded, %d packages compiled\n", p.modules, p.packages)
	return len(data), err
}

// prepare makes the files of the API, and the bottles' manifests, which the demo edits.
func (d *demo) prepare() {
	d.say("\n1. Files for an API that runs on this machine: certificates and a token. And an image for agents.\n")
	d.do(agentPath, "prepare", certDir, "--host", apiHost, "--host", docsHost, "--host", newHost, "--host", askedHost)
	d.do(agentPath, "image")
	token, err := os.ReadFile(filepath.Join(certDir, "token"))
	d.fail(err)
	d.secret = strings.TrimSpace(string(token))
}

func (d *demo) startUpstream() {
	d.say("\n3. The API: a container where the internet would be, beside the builder's pipelock.\n")
	args := []string{
		"docker", "run", "--detach", "--pull", "never", "--name", upstreamName, "--label", "bottled-demo=upstream",
		"--network", builderEgress, "--network-alias", apiHost, "--network-alias", docsHost, "--network-alias", newHost, "--network-alias", askedHost,
		"--user", containerUser(), "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
		"--memory", "64m", "--cpus", "0.5", "--pids-limit", "64",
	}
	for _, name := range []string{"server.pem", "server.key"} { // not the token, which lies beside them
		path, err := filepath.Abs(filepath.Join(certDir, name))
		d.fail(err)
		args = append(args, "--mount", "type=bind,readonly,source="+path+",target=/certs/"+name)
	}
	d.do(append(args, agentImage, "upstream", "--cert-dir", "/certs", "--mask-authorization")...)
	serves := d.await(func() bool {
		return d.quiet("docker", "exec", upstreamName, "/bottled-demo", "dial", "127.0.0.1:80", "127.0.0.1:443").code == 0
	})
	if !serves {
		d.fail(errors.New("the API does not serve; see: docker logs " + upstreamName))
	}
}

// containerUser can read the server's key: bottled-demo gives it to the image's user when root runs it.
func containerUser() string {
	if os.Geteuid() == 0 {
		return "65532:65532"
	}
	return strconv.Itoa(os.Geteuid()) + ":" + strconv.Itoa(os.Getegid())
}

// removeUpstream takes away what an earlier run left.
func (d *demo) removeUpstream() {
	id := d.ask("docker", "ps", "--all", "--quiet", "--filter", "label=bottled-demo=upstream", "--filter", "name=^/"+upstreamName+"$")
	if id != "" {
		d.ask("docker", "rm", "--force", "--volumes", id)
	}
}

// down removes all that the demo made, but for what it built.
func (d *demo) down() {
	if _, err := os.Stat(bottledPath); err != nil {
		d.fail(fmt.Errorf("%w: nothing was built here, so no demo ran", err))
		return
	}
	images := d.ask("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=bottled-demo")
	images += "\n" + d.ask("docker", "ps", "--all", "--format", "{{.Image}}", "--filter", "label=bottled.owner="+owner)
	d.removeUpstream() // it is on a bottle's network
	d.stream(bottled("delete", "--all")...)
	seen := map[string]bool{}
	for image := range strings.FieldsSeq(images) {
		if !seen[image] && d.show("docker", "image", "rm", image).code != 0 {
			d.say("(%s stays: something else uses it.)", image)
		}
		seen[image] = true
	}
	d.do("rm", "-r", workDir)
}
