package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// startUpstream runs a stand-in for an API on bottle one's egress network and returns its address there. The bottle's
// manifest must name the CA (./certs/ca.pem) and the token (./certs/token).
func startUpstream(t *testing.T, e *harness.Env) string {
	t.Helper()
	return startUpstreamAs(t, e)
}

// startUpstreamAs has the upstream answer to more names.
func startUpstreamAs(t *testing.T, e *harness.Env, names ...string) string {
	t.Helper()
	certs := filepath.Join(e.Manifests, "certs")
	name := e.Prefix + "-upstream"
	args := []string{"run", "-d", "--name", name, "--label", state.LabelOwner + "=" + e.Owner + "-guest", "--network", e.Network("egress", "one")}
	for _, n := range append([]string{"api.demo.example", "docs.demo.example"}, names...) {
		args = append(args, "--network-alias", n)
	}
	e.Docker(append(args, "-v", certs+":/certs:ro", harness.AgentImage, "upstream", "--cert-dir", "/certs")...)
	t.Cleanup(func() { e.Docker("rm", "-f", name) })
	return e.Docker("inspect", "-f", `{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}`, name)
}

func prepareCerts(t *testing.T, e *harness.Env) (token string) {
	t.Helper()
	return prepareCertsOf(t, e, "api.demo.example", "docs.demo.example")
}

func prepareCertsOf(t *testing.T, e *harness.Env, hosts ...string) (token string) {
	t.Helper()
	certs := filepath.Join(e.Manifests, "certs")
	if err := os.MkdirAll(certs, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"prepare", certs}
	for _, h := range hosts {
		args = append(args, "--host", h)
	}
	out, err := exec.Command(harness.DemoBinary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(certs, "token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func trafficManifest(e *harness.Env, allow string) string {
	m := strings.Replace(whole("one"), "allowlist: [docs.demo.example]", "allowlist: ["+allow+"]\n    privateCIDRs: ["+e.Pool+"]", 1)
	m = strings.Replace(m, "./token", "./certs/token", 1)
	return strings.Replace(m, "  credProxy:\n", "  credProxy:\n    caBundle: ./certs/ca.pem\n", 1)
}

// TestTraffic shows from inside the agent that exactly what the manifest says can be reached.
func TestTraffic(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	token := prepareCerts(t, e)
	e.Write("one.yaml", trafficManifest(e, "docs.demo.example"))
	e.Reconcile(exitDone)
	upstream := startUpstream(t, e)

	reaches := func(what string, args ...string) string {
		t.Helper()
		out, code := e.Agent("one", append([]string{"fetch"}, args...)...)
		if code != 0 {
			t.Errorf("%s does not go through:\n%s", what, out)
		}
		return out
	}
	refused := func(what, says string, args ...string) {
		t.Helper()
		out, code := e.Agent("one", append([]string{"fetch", "--timeout", "3s"}, args...)...)
		if code == 0 || !strings.Contains(out, says) {
			t.Errorf("%s is not refused with %q (exit code %d):\n%s", what, says, code, out)
		}
	}

	reaches("an allowed host", "http://docs.demo.example/")
	refused("a host off the list", "403", "http://evil.demo.example/")
	refused("an allowed host past pipelock", "", "--direct", "http://"+upstream+"/")
	refused("a raw address through pipelock", "403", "http://169.254.169.254/latest/meta-data/")
	refused("the unspecified address through pipelock", "403", "http://0.0.0.0:9099/")
	refused("a decimal address", "403", "http://2130706433/")

	// The upstream sees a token that the agent never had; what the agent sends in its place is lost.
	out := reaches("a route", "-H", "Authorization: Bearer forged", "http://cred-proxy:9099/api/whoami")
	if !strings.Contains(out, "Bearer "+token) || strings.Contains(out, "forged") || !strings.Contains(out, `"/whoami"`) {
		t.Errorf("the upstream saw:\n%s", out)
	}
	refused("a path that is no route", "404", "http://cred-proxy:9099/other/")
	refused("a git push", "403", "-X", "POST", "http://cred-proxy:9099/api/repo.git/git-receive-pack")
	if env := e.Docker("inspect", e.Name(state.Agent, "one"), e.Name(state.CredProxy, "one")); strings.Contains(env, token) {
		t.Error("docker inspect shows the token")
	}

	// A change of the allowlist reaches the running pipelock.
	e.Write("one.yaml", trafficManifest(e, "other.demo.example"))
	e.Reconcile(exitDone)
	refused("a host that was taken off the list", "403", "http://docs.demo.example/")

	if out, code := e.Agent("one", "tools", "http://supervise:9100"); code != 0 ||
		!strings.Contains(out, "cred-proxy-block") || !strings.Contains(out, "pipelock-block") || !strings.Contains(out, "capability-block") {
		t.Errorf("the supervise server's tools:\n%s", out)
	}
	proveSupervised(t, e)
}

// proveSupervised asks supervise from inside the agent.
func proveSupervised(t *testing.T, e *harness.Env) {
	t.Helper()
	call := func(code int, want string, args ...string) {
		t.Helper()
		out, got := e.Agent("one", append([]string{"tools", "http://supervise:9100"}, args...)...)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d; want %d and %q:\n%s", args, got, code, want, out)
		}
	}
	const own = `{"url":"http://pipelock:8888/","justification":"j"}`
	call(0, "other.demo.example", "list-current-config") // what the last pass wrote
	call(1, "is a part of the bottle itself", "pipelock-block", own)
	call(1, "is not a token of this bottle", "cred-proxy-block",
		`{"routes":[{"path":"/x/","upstream":"https://x.example","auth_scheme":"Bearer","token_slot":"env-HOME"}],"justification":"j"}`)
	call(0, `"proposals":[]`, "proposal-status")

	answered := make(chan error, 1)
	go func() { answered <- answerFirst(t.Context(), filepath.Join(e.StateDir, "queue", "one")) }()
	call(0, `"status":"rejected"`, "pipelock-block", `{"url":"https://more.demo.example/","justification":"j"}`)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// answerFirst rejects the first proposal, once there is one, as a human's tool on the host does.
func answerFirst(ctx context.Context, dir string) error {
	q, err := queue.Open(dir)
	if err != nil {
		return err
	}
	defer q.Close()
	for stop := time.Now().Add(8 * time.Second); time.Now().Before(stop); harness.Elapse(20 * time.Millisecond) {
		pending, problems, err := q.Pending()
		if err = errors.Join(append(problems, err, ctx.Err())...); err != nil {
			return err
		}
		if len(pending) > 0 {
			return q.Answer(pending[0].ID, queue.Answer{Status: queue.Rejected, Notes: "no", By: "alice"})
		}
	}
	return errors.New("no proposal reached the host")
}

// TestCredentialRejected has an upstream refuse a route's token, until the token is another one.
func TestCredentialRejected(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	prepareCerts(t, e)
	e.Write("one.yaml", trafficManifest(e, "docs.demo.example"))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	startUpstream(t, e)
	ask := func(path, want string) {
		t.Helper()
		if out, _ := e.Agent("one", "fetch", "http://cred-proxy:9099/api"+path); !strings.Contains(out, want) {
			t.Fatalf("%s: want %q:\n%s", path, want, out)
		}
	}
	rejected := func(want string) {
		t.Helper()
		e.Eventually(wellWithin, "the status says "+want, func() (bool, string) {
			r := e.Bottled("status", "one")
			return strings.Contains(r.Stdout, "credential rejected") == (want != "") && strings.Contains(r.Stdout, want), r.Stdout + r.Stderr
		})
	}
	for range 3 {
		ask("/status/401", "401 Unauthorized")
	}
	rejected("/api/")
	if n := e.Metric("bottled_credential_rejections_total", map[string]string{"bottle": "one"}); n != 3 {
		t.Errorf("%v rejections are counted, want 3", n)
	}
	ask("/status/404", "404 Not Found") // the token is good: the path is not
	rejected("")
}
