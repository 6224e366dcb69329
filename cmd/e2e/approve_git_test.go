package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// TestApprovalIsMerged: where the manifests come from Git, an approval pushes a branch, and the agent is answered when somebody has merged it and
// the bottle is so.
func TestApprovalIsMerged(t *testing.T) {
	t.Parallel()
	url, _, commit := gitServer(t)
	a := &asking{Env: harness.New(t), t: t}
	prepareCertsOf(t, a.Env, append([]string{"api.demo.example", "docs.demo.example"}, askedHosts...)...)
	m := strings.Replace(trafficManifest(a.Env, "docs.demo.example"), "env: {GREETING: hello}",
		"env: {SSL_CERT_FILE: /certs/ca.pem}\n    mounts: [{source: ./certs/ca.pem, target: /certs/ca.pem, readOnly: true}]", 1)
	commit(map[string]string{"bottles/one.yaml": strings.ReplaceAll(m, "./certs/", filepath.Join(a.Manifests, "certs")+"/")})
	a.ControllerOf("--git", url+"/config.git#main", "--path", "bottles", "--git-interval", "200ms", "--resync", "1h", "--git-push", "--git-author", "Bot <bot@example.com>").Ready()
	settledReady(t, a.Env, "one")
	startUpstreamAs(t, a.Env, askedHosts...)
	a.ids = owned(a.Env)

	c := a.askHost("ask.demo.example")
	p := a.waits("ask.demo.example")
	if r := a.Expect(exitDone, "approve", p.ID, "--yes", "--note", "for the tests"); !strings.Contains(r.Stdout, "waits to be merged") {
		t.Errorf("approve does not say that it has to be merged:\n%s", r.Stdout)
	}
	a.proposal("ask.demo.example", reconciler.ProposalMerging)
	branch := "bottled/proposal-" + p.ID
	a.Eventually(wellWithin, "the branch is pushed", func() (bool, string) {
		r := a.Expect(exitDone, "proposals", "show", p.ID)
		return strings.Contains(r.Stdout, "branch "+branch+" waits to be merged into "), r.Stdout
	})
	a.refused("ask.demo.example")

	work := filepath.Join(t.TempDir(), "work")
	runGit(t, "clone", "-q", url+"/config.git", work)
	log := runGit(t, "-C", work, "log", "-1", "--format=%an <%ae>%n%B", "origin/"+branch)
	for _, want := range []string{"Bot <bot@example.com>\nAllow ask.demo.example:80 (bottle one)\n", "\nBottled-Proposal: " + p.ID + "\nSigned-off-by: " + operator(t) + " <"} {
		if !strings.Contains(log, want) {
			t.Errorf("the commit has no %q:\n%s", want, log)
		}
	}
	runGit(t, "-C", work, "merge", "-q", "--no-ff", "-m", "merge", "origin/"+branch)
	runGit(t, "-C", work, "push", "-q", "origin", "HEAD:main")

	a.answered(c, queue.Approved)
	a.reached("ask.demo.example")
	a.sameContainers()
	a.audited(p, "approved", operator(t))
}
