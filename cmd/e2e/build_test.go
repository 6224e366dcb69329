package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// building is a manifest of a bottle whose agent is built.
func building(slug, build string) string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: %s}
spec:
  supervise: true
  agent: {build: {%s}, command: [agent]}
`, slug, build)
}

var dockerfile = harness.DockerfileHead + `COPY . /
ENTRYPOINT ["/bottled-demo"]
`

func agentImage(e *harness.Env, slug string) string {
	return e.Docker("inspect", "-f", "{{.Config.Image}}", e.Name(state.Agent, slug))
}

func builds(p *harness.Proxy) int {
	n := 0
	for _, call := range p.Calls() {
		if call == "POST /build" {
			n++
		}
	}
	return n
}

// TestBuild makes bottles of what lies beside their manifests: once for each content, whatever its place.
func TestBuild(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	proxy := e.Proxy()
	files := map[string]string{"Dockerfile": dockerfile, "notes/kept": "1", "secret.pem": "no", "deps/a/b": "no", ".dockerignore": "*.pem\ndeps\n"}
	for _, context := range []string{"one", "two"} {
		dir := e.Context(context, files)
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
	}
	e.Write("one.yaml", building("one", "context: one"))
	plan := e.Expect(exitDifferences, "plan", e.Manifests).Stdout
	if !strings.Contains(plan, "  +   image      bottled-agent:") || !strings.Contains(plan, "the engine does not have it") {
		t.Errorf("the plan does not show the build:\n%s", plan)
	}
	log := e.Reconcile(exitDone).Stderr
	if !strings.Contains(log, `"message":"build"`) {
		t.Errorf("the build is not told:\n%s", log)
	}
	if n := builds(proxy); n != 1 {
		t.Fatalf("%d builds for one bottle", n)
	}
	image := agentImage(e, "one")
	if b := status(t, e)["one"]; !b.Ready || !strings.HasPrefix(image, "bottled-agent:") || !strings.Contains(plan, image) {
		t.Errorf("%s; %+v", image, b)
	}
	if got := contents(t, e, "one"); got != "kept=1 link->/etc/passwd" {
		t.Errorf("the agent has %s", got)
	}
	current, err := os.ReadFile(filepath.Join(e.StateDir, "bottles", "one", "current-config", "Dockerfile"))
	if err != nil || string(current) != dockerfile {
		t.Errorf("the agent sees another Dockerfile: %s, %v", current, err)
	}

	e.Write("two.yaml", building("two", "context: ./two, dockerfile: Dockerfile"))
	proxy.Reset(nil)
	e.Reconcile(exitDone)
	if other := agentImage(e, "two"); other != image || builds(proxy) != 0 {
		t.Errorf("the same content was built again: %s after %s", other, image)
	}
	if out := e.Expect(exitDone, "run", "one", "--", "dial", "supervise:9100").Stdout; !strings.Contains(out, "supervise:9100") {
		t.Errorf("a session of the image says %s", out)
	}
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
}

// contents lists what came from a context into an agent's container, but for the program.
func contents(t *testing.T, e *harness.Env, slug string) string {
	t.Helper()
	var found []string
	archive, err := e.DockerCommand("export", e.Name(state.Agent, slug)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		switch name := filepath.Base(h.Name); {
		case h.Linkname == "/etc/passwd":
			found = append(found, name+"->"+h.Linkname)
		case slices.Contains([]string{"kept", "secret.pem", "a", "b"}, name):
			found = append(found, fmt.Sprintf("%s=%d", name, h.Size))
		}
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// TestBuildLive edits a context under a running controller, well and badly.
func TestBuildLive(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	dir := e.Context("agent", map[string]string{"Dockerfile": dockerfile, "sub/file": "1"})
	e.Write("one.yaml", building("one", "context: agent"))
	proxy := e.Proxy()
	e.Controller("--resync", "1h").Ready() // what is noticed is noticed at once
	settledReady(t, e, "one")
	a := &builtAgent{t: t, e: e}
	a.now()
	sidecars := func() string {
		return e.Docker("inspect", "-f", "{{.Id}}", e.Name(state.Pipelock, "one"), e.Name(state.Supervise, "one"))
	}
	before := sidecars()

	proxy.Reset(nil)
	e.Write("agent/sub/file", "1") // another time, the same content
	e.Expect(exitDone, "sync")
	if builds(proxy) != 0 {
		t.Error("built again, though nothing changed")
	}
	a.same("nothing changed")
	e.Write("agent/sub/file", "2")
	a.replaced("another file")
	if sidecars() != before {
		t.Error("sidecars were replaced with the agent")
	}

	e.Write("agent/Dockerfile", harness.DockerfileHead+"COPY missing /\n")
	a.fails("a missing file", "build bottled-agent:", "COPY failed", "missing", "Step 3/")
	e.Write("agent/Dockerfile", harness.DockerfileHead+"COPY . /\nRUN [\"/bottled-demo\", \"dial\", \"192.0.2.1:1\"]\n")
	a.fails("a failed command", "returned a non-zero code: 1", "the build's last output:", "192.0.2.1:1", "RUN steps have no network")

	// A build that never ends is no obstacle for a better one.
	e.Write("agent/Dockerfile", harness.DockerfileHead+"COPY . /\nRUN [\"/bottled-demo\", \"agent\"]\n")
	running := func() string {
		return e.Docker("ps", "-q", "--filter", "label=bottled.test", "--filter", "network=none")
	}
	e.Eventually(wellWithin, "the endless build runs", func() (bool, string) { now := running(); return now != "", now })
	e.Write("agent/Dockerfile", dockerfile+"USER 1000\n")
	a.replaced("a good Dockerfile again")
	e.Eventually(wellWithin, "the endless build is given up", func() (bool, string) { now := running(); return now == "", now })

	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	e.Docker("rm", "-f", a.id)
	e.Eventually(wellWithin, "without the context the agent is kept as it was", func() (bool, string) {
		b, _ := e.Bottle("one")
		_, image := a.look()
		return image == a.image && strings.Contains(b.Message, "no such file or directory"), fmt.Sprintf("%s %+v", image, b)
	})
}

// builtAgent is the agent of bottle one, as it was seen last.
type builtAgent struct {
	t         *testing.T
	e         *harness.Env
	id, image string
}

// look returns the running agent, or nothing.
func (a *builtAgent) look() (id, image string) {
	a.t.Helper()
	id, image, _ = strings.Cut(a.e.Docker("ps", "--no-trunc", "--format", "{{.ID}} {{.Image}}", "--filter", "name="+a.e.Name(state.Agent, "one")), " ")
	return id, image
}

func (a *builtAgent) now() { a.id, a.image = a.look() }

func (a *builtAgent) same(what string) {
	a.t.Helper()
	if id, _ := a.look(); id != a.id {
		a.t.Errorf("%s: the agent that ran does not run any more", what)
	}
}

// replaced waits for an agent of another image.
func (a *builtAgent) replaced(what string) {
	a.t.Helper()
	took := a.e.Eventually(wellWithin, what+": the agent is replaced", func() (bool, string) {
		id, image := a.look()
		return id != "" && id != a.id && image != a.image, id + " " + image
	})
	settledReady(a.t, a.e, "one")
	a.now()
	a.t.Logf("%s: ready with the new image after about %s", what, took)
}

// fails waits for a message with all of this in it. The agent goes on.
func (a *builtAgent) fails(what string, says ...string) {
	a.t.Helper()
	bottleIs(a.t, a.e, "one", "failed for "+what, func(b reconciler.BottleStatus) bool {
		missing := slices.ContainsFunc(says, func(text string) bool { return !strings.Contains(b.Message, text) })
		return b.Reason == reconciler.ReasonFailed && !b.Ready && !missing
	})
	a.same(what)
}

// TestBuildNetwork has a RUN step reach a service of the host: not by itself, and where the manifest says so.
func TestBuildNetwork(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(bridgeAddress(t, e), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	e.Context("agent", map[string]string{"Dockerfile": fmt.Sprintf("%sRUN [\"/bottled-demo\", \"dial\", %q]\n", dockerfile, listener.Addr())})
	e.Write("one.yaml", building("one", "context: agent"))
	if r := e.Reconcile(exitFailed); !strings.Contains(r.Stderr, "RUN steps have no network") || !strings.Contains(r.Stderr, "unreachable") {
		t.Errorf("%s", r.Stderr)
	}
	e.Write("one.yaml", building("one", "context: agent, network: default"))
	e.Reconcile(exitDone)
}

// bridgeAddress is the host's IPv4 address on the engine's default network.
func bridgeAddress(t *testing.T, e *harness.Env) string {
	t.Helper()
	bridge, err := net.InterfaceByName(e.Docker("network", "inspect", "-f", `{{index .Options "com.docker.network.bridge.name"}}`, "bridge"))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := bridge.Addrs()
	if err != nil || len(addresses) == 0 {
		t.Fatal(addresses, err)
	}
	prefix, err := netip.ParsePrefix(addresses[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return prefix.Addr().String()
}
