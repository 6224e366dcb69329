package clients

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

func TestMain(m *testing.M) { harness.Main(m) }

// row is a client that does something, and what it gets.
type row struct {
	client, does, gets string   // as the documentation's table has it
	script             string   // for sh, in an empty directory of the agent's
	fails              bool     // the script ends with another exit code than 0
	prints             []string // what it prints, among other things
	upstream           []string // requests that the services see, as upstream logs them
	never              []string // requests that they don't see
}

// limit is how long a row may take.
const limit = time.Minute

// TestClients runs every row in one bottle.
func TestClients(t *testing.T) {
	t.Parallel()
	b := newBottle(t)
	versions := b.versions()
	recordVersions(t, versions)
	for _, r := range rows() {
		t.Run(strings.ReplaceAll(r.client+" "+r.does, "`", ""), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			b.in(t).run(r)
			t.Logf("%s: %s: %s (%.1fs)", versions[r.client], r.does, r.gets, time.Since(start).Seconds())
		})
	}
}

// versionCommands print the version of each client.
var versionCommands = map[string]string{
	"curl":     `curl --version | sed -n '1s/curl \([^ ]*\).*/\1/p'`,
	"git":      `git --version | cut -d' ' -f3`,
	"npm":      `npm --version`,
	"Node":     `node -p 'process.versions.node'`,
	"undici":   `node -p 'require("/usr/share/nodejs/undici/package.json").version'`,
	"pip":      `python3 -m pip --version | cut -d' ' -f2`,
	"Python":   `python3 -c 'import platform; print(platform.python_version())'`,
	"Requests": `python3 -c 'import requests; print(requests.__version__)'`,
	"Cargo":    `cargo --version | cut -d' ' -f2`,
	"Go":       `go version | sed 's/go version go\([^ ]*\).*/\1/'`,
	"zstd":     `zstd --version | sed -n 's/.* v\([^,]*\).*/\1/p'`,
	"Java":     `java --version | sed -n '1s/[^ ]* \([^ ]*\).*/\1/p'`,
}

// versions names the clients with their versions.
func (b bottle) versions() map[string]string {
	b.t.Helper()
	var all strings.Builder
	for client, command := range versionCommands {
		fmt.Fprintf(&all, "{ echo \"%s $(%s)\"; } &\n", client, command)
	}
	out, _ := b.shell(all.String() + "wait")
	found := map[string]string{}
	for client := range versionCommands {
		line := regexp.MustCompile(`(?m)^` + client + ` \d\S*$`).FindString(out)
		if line == "" {
			b.t.Fatalf("%s does not tell its version:\n%s\nGet all clients with: task setup:clients", client, out)
		}
		found[client] = line
	}
	return found
}

// run has the agent run a row's script, and checks what it prints and what the services see.
func (b bottle) run(r row) {
	b.t.Helper()
	out, code := b.shell("cd \"$(mktemp -d)\"\n" + r.script)
	defer func() {
		if b.t.Failed() {
			b.t.Logf("the script:\n%s\nit printed:\n%s\nthe services logged:\n%s", r.script, out, b.env.In(b.t).Docker("logs", "--tail", "20", b.upstream))
		}
	}()
	if (code != 0) != r.fails {
		b.t.Errorf("exit code %d", code)
	}
	if strings.Contains(out, b.token) {
		b.t.Error("the agent got the token")
	}
	for _, want := range r.prints {
		if !strings.Contains(out, want) {
			b.t.Errorf("it does not print %q", want)
		}
	}
	for _, want := range r.upstream {
		b.env.In(b.t).Eventually(5*time.Second, "the services log "+want, func() (bool, string) { return b.seen(want) != "", "" })
	}
	for _, unwanted := range r.never {
		if seen := b.seen(unwanted); seen != "" {
			b.t.Errorf("the services saw %s", seen)
		}
	}
}

// shell runs a script of sh in the agent, and returns what it prints and its exit code.
func (b bottle) shell(script string) (string, int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	cmd := b.env.DockerCommand("exec", b.env.Name(state.Agent, slug), "timeout", fmt.Sprint(int(limit.Seconds())-1), "sh", "-euc", script)
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// seen is a line of the services' log with a text in it, "" where there is none.
func (b bottle) seen(text string) string {
	b.t.Helper()
	for line := range strings.Lines(b.env.In(b.t).Docker("logs", b.upstream)) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}
