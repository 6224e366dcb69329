package e2e

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// volumeManifest is a supervised bottle whose agent is user 1234 and has volumes: of them only /home/dev and /data are in the image.
func volumeManifest(image, slug, more string) string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: %s}
spec:
  supervise: true
  agent:
    image: %q
    command: [/bottled-demo, agent]
    volumes:
      - {name: home, target: /home/dev}
      - {name: cache, target: /home/dev/work/cache, retain: false}
      - {name: data, target: /data}
      - {name: new, target: /srv/new}
%s`, slug, image, more)
}

// volumes are the names of the Env's volumes.
func volumes(e *harness.Env) []string {
	return strings.Fields(e.Docker("volume", "ls", "--filter", "label="+state.LabelOwner+"="+e.Owner, "--format", "{{.Name}}"))
}

// volumeImage is an image whose user is 1234.
func volumeImage(e *harness.Env) string {
	return e.Image("volumes", `COPY passwd /etc/passwd
COPY --chown=1234:1235 bashrc /home/dev/.bashrc
COPY --chown=77:77 bashrc /data/theirs
USER dev
ENTRYPOINT []
`, map[string]string{"passwd": "root:x:0:0::/root:/bin/sh\ndev:x:1234:1235::/home/dev:/bin/sh\n", "bashrc": "from the image"})
}

// TestVolumes has what an agent keeps in its volumes outlive everything but the bottle, and what the manifest says is disposable go
// with it.
func TestVolumes(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image := volumeImage(e)
	dir := path.Dir(e.Manifests)
	harness.CopyAttacker(t, dir+"/attacker", 0o755)
	work := path.Dir(e.Write("work/README", "mine"))
	mount := fmt.Sprintf("    mounts: [{source: %s, target: /home/dev/work}, {source: %s/attacker, target: /attacker, readOnly: true}]\n", work, dir)
	e.Write("one.yaml", volumeManifest(image, "one", mount))
	c := e.Controller("--resync", "1h").Ready()
	e.Expect(exitDone, "wait", "one")
	e.Expect(exitDone, "plan", "--deep", e.Manifests)
	agent := e.Name(state.Agent, "one")

	// The user of the image owns what is not there, or not in the image; what is there keeps its owner.
	marker := e.Write("marker", "kept")
	for dir, writable := range map[string]bool{"/home/dev": true, "/home/dev/work/cache": true, "/srv/new": true, "/data": false} {
		e.Expect(exitDone, "cp", marker, "one:"+dir+"/marker")
		for _, a := range e.Attack(agent, "alter", dir+"/marker") {
			if strings.HasPrefix(a.Name, "a file beside") && a.Granted != writable {
				t.Errorf("%s: %+v, want %t", dir, a, writable)
			}
		}
	}
	ownedBy(t, e, agent, "/home/dev/.claude.json", 1234, 1235)

	kept := func(when string) {
		t.Helper()
		for _, dir := range []string{"/home/dev", "/home/dev/work/cache", "/srv/new", "/data"} {
			if got := e.Docker("exec", agent, "/attacker", "show", dir+"/marker"); !strings.Contains(got, "kept") {
				t.Errorf("%s: %s/marker is %q", when, dir, got)
			}
		}
		if got := e.Docker("exec", agent, "/attacker", "show", "/home/dev/.bashrc"); !strings.Contains(got, "from the image") {
			t.Errorf("%s: .bashrc is %q", when, got)
		}
	}
	kept("at first")
	e.Docker("rm", "-f", agent)
	e.Expect(exitDone, "sync")
	kept("the agent was removed")
	e.Write("one.yaml", volumeManifest(image, "one", mount+"    env: {A: b}\n"))
	e.Expect(exitDone, "sync")
	kept("the agent was replaced")
	e.Expect(exitDone, "suspend", "one")
	e.Expect(exitDone, "resume", "one")
	kept("the bottle was suspended")
	c.Stop()
	e.Docker("rm", "-f", agent)
	c = e.Controller("--resync", "1h").Ready()
	e.Expect(exitDone, "sync")
	kept("the controller was restarted")
	if got := e.Expect(exitDone, "run", "one", "--", "/attacker", "show", "/srv/new/marker").Stdout; !strings.Contains(got, "kept") {
		t.Errorf("a session sees %q", got)
	}

	c.Stop()
	if r := e.Expect(exitDone, "status", "one"); !strings.Contains(r.Stdout, "\ncache    in use   no         "+e.Prefix+"-volume-cache.one\n") {
		t.Errorf("status:\n%s", r.Stdout)
	}
	if r := e.Expect(exitFailed, "volumes", "rm", e.Prefix+"-volume-data.one", "--yes"); !strings.Contains(r.Stderr, "is in use by "+agent) {
		t.Errorf("rm: %s", r.Stderr)
	}
	e.Expect(exitDone, "delete", "one")
	want := []string{e.Prefix + "-volume-data.one", e.Prefix + "-volume-home.one", e.Prefix + "-volume-new.one"}
	if got := volumes(e); !slices.Equal(got, want) {
		t.Errorf("after the bottle's removal: %q, want %q", got, want)
	}
	if r := e.Expect(exitDone, "volumes"); strings.Count(r.Stdout, "orphan") != 3 {
		t.Errorf("volumes:\n%s", r.Stdout)
	}
	e.Reconcile(exitDone)
	agentSees := e.Docker("exec", agent, "/attacker", "show", "/home/dev/marker")
	if !strings.Contains(agentSees, "kept") {
		t.Errorf("the bottle that came back sees %q", agentSees)
	}
	e.Expect(exitDone, "delete", "one")
	e.Expect(exitDone, "volumes", "rm", "--orphans")
	if got := volumes(e); len(got) > 0 {
		t.Errorf("after the removal of orphans: %q", got)
	}
}

// TestHostileVolume has an agent leave traps in its home for whoever seeds it next: nothing is read or written elsewhere, and the agent
// is started all the same.
func TestHostileVolume(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	image := volumeImage(e)
	dir := path.Dir(e.Manifests)
	harness.CopyAttacker(t, dir+"/attacker", 0o755)
	work := path.Dir(e.Write("work/secret.json", `{"secret": "only root may read it"}`))
	mounts := fmt.Sprintf("    mounts: [{source: %s, target: /home/dev/work}, {source: %s/attacker, target: /attacker, readOnly: true}]\n", work, dir)
	e.Write("one.yaml", volumeManifest(image, "one", mounts))
	e.Write("two.yaml", volumeManifest(image, "two", ""))
	e.Reconcile(exitDone)
	agent := e.Name(state.Agent, "one")
	e.Docker("exec", agent, "/attacker", "trap", "/home/dev/.claude.json", "work/secret.json")
	e.Docker("exec", agent, "/attacker", "trap", "/home/dev/.claude", "work")
	e.Docker("exec", agent, "/attacker", "trap", "/home/dev/.mcp.json", "../../etc")
	e.Docker("rm", "-f", agent)
	e.Reconcile(exitDone)
	if text := string(ownedBy(t, e, agent, "/home/dev/.claude.json", 1234, 1235)); strings.Contains(text, "only root") || !strings.Contains(text, "supervise") {
		t.Errorf("the file that the agent can read now is %q", text)
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != "secret.json" && name != "cache" {
			t.Errorf("%s was put into a mount", name)
		}
	}
	if got := volumes(e); len(got) != 8 {
		t.Errorf("two bottles have the volumes %q", got)
	}
}

// TestForeignVolumeIsLeftAlone wants a volume of somebody else's to be an error, whatever it leads to.
func TestForeignVolumeIsLeftAlone(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	name := e.Prefix + "-volume-home.one"
	e.Docker("volume", "create", "--label", state.LabelOwner+"="+e.Owner, "--label", state.LabelSlug+"=one", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc", name)
	e.Write("one.yaml", volumeManifest(volumeImage(e), "one", ""))
	r := e.Reconcile(exitFailed)
	if !strings.Contains(r.Stderr, "volume "+name+" has settings that bottled never makes (device=/etc, o=bind, type=none): remove it (docker volume rm "+name+")") {
		t.Errorf("it says:\n%s", r.Stderr)
	}
	if left := e.Docker("ps", "-aq", "--filter", "volume="+name); left != "" {
		t.Errorf("a container has it: %s", left)
	}
	e.Docker("volume", "rm", name)
	e.Reconcile(exitDone)
}
