package e2e

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// teaManifest is a supervised bottle whose agent uses a route by tea.
func teaManifest(image, more string) string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  supervise: true
  credProxy:
    routes:
      - {path: /gitea/, upstream: "https://git.demo.example", token: {file: ./token}, roles: [tea-login]}
      - {path: /openai/, upstream: "https://api.demo.example", token: {file: ./token}, roles: [openai-base-url]}
  agent:
    image: %q
    command: [agent]
%s`, image, more)
}

// The files that the agent's programs need are in the home of the agent's user, are that user's, and keep what the image
// says besides.
func TestHomeOfTheAgent(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image := e.Image("home", `COPY passwd /etc/passwd
COPY settings.json /home/dev/.claude/settings.json
COPY config.toml /home/dev/.codex/config.toml
COPY broken.json /home/dev/.gemini/settings.json
USER dev
`, map[string]string{
		"passwd":        "root:x:0:0::/root:/bin/sh\ndev:x:1234:1235::/home/dev:/bin/sh\n",
		"settings.json": `{"theme": "dark", "permissions": {"deny": ["WebFetch"]}}`,
		"config.toml":   "model = \"gpt\"\n[mcp_servers.docs]\ncommand = \"docs\"\n",
		"broken.json":   "{ // a comment\n}",
	})
	e.Write("token", testToken)
	e.Write("one.yaml", teaManifest(image, ""))
	e.Reconcile(exitDone)

	agent := e.Name(state.Agent, "one")
	settings := ownedBy(t, e, agent, "/home/dev/.claude/settings.json", 1234, 1235)
	var got struct {
		Theme       string
		Permissions struct{ Allow, Deny []string }
	}
	if err := json.Unmarshal(settings, &got); err != nil || got.Theme != "dark" ||
		fmt.Sprint(got.Permissions.Allow, got.Permissions.Deny) != "[mcp__supervise] [WebFetch]" {
		t.Errorf("settings.json: %s (%v)", settings, err)
	}
	for _, file := range []string{"/home/dev/.mcp.json", "/home/dev/.claude.json"} {
		if text := ownedBy(t, e, agent, file, 1234, 1235); !strings.Contains(string(text), `"http://supervise:9100"`) {
			t.Errorf("%s: %s", file, text)
		}
	}
	// Two components write to one file. A file of the image is kept where a later version of bottled adds one.
	codex := string(ownedBy(t, e, agent, "/home/dev/.codex/config.toml", 1234, 1235))
	for _, want := range []string{"model = 'gpt'", "command = 'docs'", "url = 'http://supervise:9100'", "base_url = 'http://cred-proxy:9099/openai/v1'"} {
		if !strings.Contains(codex, want) {
			t.Errorf("Codex's configuration lacks %s:\n%s", want, codex)
		}
	}
	if out, err := e.DockerCommand("cp", agent+":/home/dev/.gemini/settings.json", "-").Output(); err != nil || !strings.Contains(string(out), "// a comment") {
		t.Errorf("the image's settings of Gemini CLI: %s, %v", out, err)
	}
	logins := string(ownedBy(t, e, agent, "/home/dev/.config/tea/config.yml", 1234, 1235))
	if !strings.Contains(logins, "url: http://cred-proxy:9099/gitea\n") || strings.Contains(logins, testToken) {
		t.Errorf("tea's logins:\n%s", logins)
	}
	e.Expect(exitDone, "plan", e.Manifests)

	// Another home, of a user that /etc/passwd does not know; a directory that is the user's own is left alone.
	e.Write("work/README", "mine")
	e.Write("one.yaml", teaManifest(harness.AgentImage, "    env: {HOME: /agents/home}\n    mounts: [{source: ./work, target: /agents/home/.config, readOnly: true}]\n"))
	e.Reconcile(exitDone)
	ownedBy(t, e, agent, "/agents/home/.mcp.json", 65532, 65532)
	ownedBy(t, e, agent, "/agents/home/.claude/settings.json", 65532, 65532)
	if out, err := e.DockerCommand("cp", agent+":/agents/home/.config/tea", "-").CombinedOutput(); err == nil {
		t.Errorf("something was put into a mount: %.200s", out)
	}
}

// A home that can't be furnished leaves nothing behind and says why.
func TestHomeThatCannotBeFurnished(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image := e.Image("broken-home", "COPY settings.json /.claude/settings.json\n", map[string]string{"settings.json": "{not JSON"})
	e.Write("token", testToken)
	e.Write("one.yaml", teaManifest(image, "    env: {HOME: /}\n"))
	out := e.Reconcile(exitFailed)
	if !strings.Contains(out.Stdout+out.Stderr, "/.claude/settings.json: the existing file is not a JSON object") {
		t.Errorf("it says:\n%s%s", out.Stdout, out.Stderr)
	}
	if left := e.Docker("ps", "-aq", "--filter", "name="+e.Name(state.Agent, "one")); strings.TrimSpace(left) != "" {
		t.Errorf("a container was left: %s", left)
	}
}

// ownedBy returns a file of a container, and wants it, and the directory it is in, to be somebody's.
func ownedBy(t *testing.T, e *harness.Env, container, file string, uid, gid int) []byte {
	t.Helper()
	archive, err := e.DockerCommand("cp", container+":"+path.Dir(file), "-").Output()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	files := tar.NewReader(strings.NewReader(string(archive)))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("there is no %s", file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if path.Base(header.Name) != path.Base(file) {
			continue
		}
		if header.Uid != uid || header.Gid != gid || header.Mode&0o777 != 0o600 {
			t.Errorf("%s is %d:%d's, mode %o", file, header.Uid, header.Gid, header.Mode)
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
}
