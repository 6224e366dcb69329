package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// TestRemappedUsers runs a bottle with every component on an engine with userns-remap, where the sidecars' user is another one on
// the host: each reads and writes its files, sessions too, and nothing of it is the host's root.
func TestRemappedUsers(t *testing.T) {
	t.Parallel()
	engine := harness.PrivateEngineWith(t, map[string]any{"userns-remap": "dockremap"})
	e := harness.New(t)
	e.On(engine)
	token := prepareCerts(t, e)
	b := box{T: t, e: e, machine: engine.Machine()}
	outside := b.machine.Outside(apiAddress)
	b.names = serveNames(b.machine.ListenPacket("udp4", "127.0.0.1:53"))
	serveAPI(t, filepath.Join(e.Manifests, "certs"), outside.Listen("tcp4", apiAddress+":443"), outside.Listen("tcp4", apiAddress+":80"))
	e.Write("work/README", "mine")
	e.Write("one.yaml", boxManifest("one", filepath.Join(e.Manifests, "work"), ""))
	e.Reconcile(exitDone)

	if !status(t, e)["one"].Ready {
		t.Errorf("the bottle is not ready: %+v", status(t, e)["one"])
	}
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
	if got := e.Docker("info", "-f", "{{.SecurityOptions}}"); !strings.Contains(got, "name=userns") {
		t.Errorf("the engine does not remap: %s", got)
	}
	b.token = token
	b.works()
	answered := make(chan error, 1)
	go func() { answered <- answerFirst(t.Context(), filepath.Join(e.StateDir, "queue", "one")) }()
	if out, _ := e.Agent("one", "tools", "http://supervise:9100", "pipelock-block",
		`{"url":"https://more.demo.example/","justification":"j"}`); !strings.Contains(out, `"status":"rejected"`) {
		t.Errorf("a proposal is not answered:\n%s", out)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	b.files()
	b.session()

	// The token changes: the files that are written then are the sidecar's, too.
	e.Write("certs/token", token+"x\n")
	e.Reconcile(exitDone)
	b.token = token + "x"
	b.works()
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
}

// files looks who owns what the sidecars have on the host.
func (b box) files() {
	b.Helper()
	const sidecar = harness.RemappedRoot + 65532
	owned, err := filepath.Glob(b.e.RunDir + "/one/tokens/*")
	if err != nil || len(owned) == 0 {
		b.Fatalf("no tokens: %v", err)
	}
	owned = append(owned, filepath.Join(b.e.StateDir, "queue", "one"),
		filepath.Join(b.e.StateDir, "bottles", "one", "cred-proxy", "routes.json"))
	for _, path := range owned {
		var info syscall.Stat_t
		if err := syscall.Lstat(path, &info); err != nil || info.Uid != sidecar || info.Gid != sidecar {
			b.Errorf("%s belongs to %d:%d, want %d (%v)", path, info.Uid, info.Gid, sidecar, err)
		}
	}
}

// session runs a command beside the agent, which reads what the agent reads.
func (b box) session() {
	b.Helper()
	out := b.e.Expect(exitDone, "run", "one", "--", "dial", "pipelock:8888").Stdout
	if !strings.Contains(out, "pipelock:8888") {
		b.Errorf("a session does not reach pipelock: %s", out)
	}
}
