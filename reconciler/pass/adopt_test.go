package pass_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// recordedRoot is where the recorded installation had everything. It need not exist here.
const recordedRoot = "/srv/bottled"

// recordedSidecars is the reference of the image that the recorded sidecars run in.
const recordedSidecars = "bottled:ca3c70b9f2740477"

// recordedComponents counts the components of each recorded bottle.
var recordedComponents = map[string]int{"built": 2, "dev": 4, "legacy": 4, "minimal": 2, "no-agent": 2, "suspended": 3}

// TestAdoptsRunningInstallation plans for bottles that an earlier bottled made and that still run. A change of bottled, however
// large, must not replace them: a new agent is a lost day of work. What it takes to update an installation on purpose, the image
// of the sidecars, replaces the sidecars and nothing else.
func TestAdoptsRunningInstallation(t *testing.T) {
	for name, c := range map[string]struct {
		sidecars string
		want     []string
	}{
		// The recorded cred-proxy had no allowlist. It reads that while it runs.
		"nothing is replaced": {sidecars: recordedSidecars, want: []string{
			"dev: change cred-proxy", "dev: change files", "legacy: change cred-proxy", "legacy: change files", "suspended: change files",
		}},
		"only the sidecars are replaced by those of a new image": {sidecars: "bottled:0123456789abcdef", want: []string{
			"built: create image", "built: replace pipelock",
			"dev: change files", "dev: create image", "dev: replace cred-proxy", "dev: replace pipelock", "dev: replace supervise",
			"legacy: change files", "legacy: create image", "legacy: replace cred-proxy", "legacy: replace pipelock", "legacy: replace supervise",
			"minimal: create image", "minimal: replace pipelock",
			"no-agent: create image", "no-agent: replace pipelock", "no-agent: replace supervise",
			"suspended: change files",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			planned := planRecorded(t, c.sidecars)
			var got []string
			for _, b := range planned.Bottles {
				for _, item := range b.Items() {
					got = append(got, fmt.Sprintf("%s: %s %s", b.Slug, item.Verb, item.Kind))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				var text strings.Builder
				must(t, planned.Write(&text, func(_, line string) string { return line }))
				t.Errorf("planned %q, want %q:\n%s", got, c.want, text.String())
			}
			checkAllReady(t, planned)
		})
	}
}

// TestAdoptsRecords reads what an earlier bottled recorded of its declarations: a bottle whose manifest becomes invalid after an
// upgrade goes on as it was declared last, and an upgrade is no new generation.
func TestAdoptsRecords(t *testing.T) {
	r, settings := readRecording(t), recordedSettings(recordedSidecars)
	declared := resolveRecorded(t, settings, r.Inodes)
	here := layOutFiles(t, settings, r, t.TempDir())
	for _, d := range declared {
		slug, want := d.manifest.Metadata.Name, render.SpecHash(d.manifest)
		got, found, err := store.ReadRecord(here, slug)
		if err != nil || !found {
			t.Errorf("bottle %s: no record (%v)", slug, err)
			continue
		}
		if hash := render.SpecHash(got.Declared); got.SpecHash != want || hash != want {
			t.Errorf("bottle %s: recorded with the hash %s, of a manifest whose hash is %s, want %s", slug, got.SpecHash, hash, want)
		}
	}
	all, err := store.ReadRecords(here)
	must(t, err)
	components := map[string]int{}
	for _, b := range all {
		components[b.Slug] = len(b.Components)
	}
	if !maps.Equal(components, recordedComponents) {
		t.Errorf("recorded components by bottle: %v, want %v", components, recordedComponents)
	}
}

func recordedSettings(sidecars string) state.Settings {
	return state.Settings{
		Owner: "recorded", Prefix: "recorded", StateDir: recordedRoot + "/state", RunDir: recordedRoot + "/run",
		Pool:       netip.MustParsePrefix("10.198.0.0/20"),
		AgentImage: "recorded/agent:1", BuiltinImage: sidecars, User: "65532:65532",
	}
}

// checkAllReady makes sure that every bottle of the recording was compared, and nothing failed before it could be.
func checkAllReady(t *testing.T, planned plan.Plan) {
	t.Helper()
	components := map[string]int{}
	for _, b := range planned.Bottles {
		if b.Err != nil || b.Stale != nil || b.Desired == nil || b.Remove || b.Held != "" {
			t.Fatalf("bottle %s: %+v", b.Slug, b)
		}
		for _, c := range b.Components {
			if c.Ready == b.Desired.Suspended && c.Component != state.CredProxy { // which has a file to read
				t.Errorf("bottle %s: %+v", b.Slug, c)
			}
		}
		components[b.Slug] = len(b.Components)
	}
	if !maps.Equal(components, recordedComponents) {
		t.Errorf("components by bottle: %v, want %v", components, recordedComponents)
	}
}

// planRecorded takes the way from the manifests and the answers of the engine to a plan, stage by stage.
func planRecorded(t *testing.T, sidecars string) plan.Plan {
	t.Helper()
	r := readRecording(t)
	replay{t, r}.serve()
	settings := recordedSettings(sidecars)
	declared := resolveRecorded(t, settings, r.Inodes)
	have := observeRecorded(t, settings, r, declared)
	existing := map[string]state.Subnets{}
	var slugs []string
	for _, d := range declared {
		slug := d.manifest.Metadata.Name
		slugs = append(slugs, slug)
		existing[slug] = subnetsOf(have.Networks, slug)
	}
	subnets, failed := state.Allocate(settings.Pool, slugs, existing, nil)
	want := plan.Desired{Failed: failed}
	for _, d := range declared {
		bottle, err := render.Bottle(d.manifest, d.inputs, subnets[d.manifest.Metadata.Name], settings)
		must(t, err)
		want.Bottles = append(want.Bottles, bottle)
	}
	return plan.Compute(want, have, settings.Owner, settings.StateDir, plan.PruneGuarded)
}

func observeRecorded(t *testing.T, settings state.Settings, r recording, declared []declaration) observe.Observed {
	t.Helper()
	observer := observe.Observer{
		Engine: connectRecorded(t, settings, r), Settings: settings, Cache: observe.OpenCache(filepath.Join(t.TempDir(), "cache.json")),
		Routes: func() ([]netip.Prefix, error) { return nil, nil },
	}
	refs := kinds.All.SidecarImages(settings)
	for _, d := range declared {
		image, err := settings.ImageOfAgent(d.manifest, d.inputs.Build)
		must(t, err)
		if image != "" {
			refs = append(refs, image)
		}
	}
	have, err := observer.Observe(t.Context(), observe.Options{Refs: refs})
	must(t, err)
	return have
}

// movedFiles is an engine whose directories are read below root, and reported as if they were at the recorded place.
type movedFiles struct {
	*docker.Engine
	root string
}

func (m movedFiles) Files(ctx context.Context, slug string) (map[string]map[string]state.ObservedFile, error) {
	found, err := m.Engine.Files(ctx, slug)
	moved := map[string]map[string]state.ObservedFile{}
	for path, files := range found {
		moved[strings.Replace(path, m.root, recordedRoot, 1)] = files
	}
	return moved, err
}

// connectRecorded connects to the replayed engine. The files that bottled had written are laid out for it.
func connectRecorded(t *testing.T, settings state.Settings, r recording) engine.Engine {
	t.Helper()
	root := t.TempDir()
	e, err := docker.Connect(t.Context(), layOutFiles(t, settings, r, root))
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	return movedFiles{e, root}
}

// recordedBefore is before the recorded sidecars reported, and so when their files were written.
var recordedBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// layOutFiles writes the files that bottled had written below root, and returns settings that lead there.
func layOutFiles(t *testing.T, settings state.Settings, r recording, root string) state.Settings {
	t.Helper()
	here := func(path string) string { return strings.Replace(path, recordedRoot, root, 1) }
	for _, path := range r.Directories {
		must(t, os.MkdirAll(here(path), 0o700))
	}
	for path, f := range r.Files {
		must(t, os.WriteFile(here(path), []byte(f.Content), 0o600))
		must(t, os.Chmod(here(path), os.FileMode(f.Mode)))
		must(t, os.Chtimes(here(path), recordedBefore, recordedBefore))
	}
	settings.StateDir, settings.RunDir = here(settings.StateDir), here(settings.RunDir)
	return settings
}

func subnetsOf(networks []engine.ObservedNetwork, slug string) state.Subnets {
	var s state.Subnets
	for _, n := range networks {
		switch {
		case n.Labels[state.LabelSlug] != slug:
		case n.Labels[state.LabelRole] == state.InternalNetwork:
			s.Internal = n.Subnet
		default:
			s.Egress = n.Subnet
		}
	}
	return s
}

// declaration is a manifest of the recorded installation with what it refers to.
type declaration struct {
	manifest v1alpha1.Bottle
	inputs   resolve.Inputs
}

// resolveRecorded reads the manifests and what they refer to from a copy of the installation, and then has them be where the
// recorded ones were: the paths and the identity of mounts are part of what a container is declared by.
func resolveRecorded(t *testing.T, settings state.Settings, inodes map[string]uint64) []declaration {
	t.Helper()
	root := layOut(t)
	snapshot, err := source.Load(filepath.Join(root, "manifests"))
	must(t, err)
	if len(snapshot.Problems) > 0 {
		t.Fatalf("problems in the manifests: %v", snapshot.Problems)
	}
	reader := resolve.Reader{
		Settings: settings, Builds: &buildcontext.Reader{}, Writable: snapshot.Writable,
		Getenv: func(name string) (string, bool) { token, ok := recordedTokens[name]; return token, ok },
	}
	recorded := func(path string) string { return strings.Replace(path, root, recordedRoot, 1) }
	var all []declaration
	for _, b := range snapshot.Bottles {
		in, err := reader.Read(b)
		must(t, err)
		moved := resolve.Inputs{Hosts: in.Hosts, CABundle: in.CABundle, Build: in.Build, Tokens: map[string]state.Content{}, Mounts: map[string]resolve.MountSource{}}
		for _, ref := range tokensOf(b) {
			moved.Tokens[state.TokenSlot(route.SecretRef{Env: ref.Env, File: recorded(ref.File)})] = in.Tokens[state.TokenSlot(ref)]
		}
		for source, m := range in.Mounts {
			m.Path = recorded(m.Path)
			m.ID = safepath.ID{Ino: inodes[m.Path]}
			moved.Mounts[recorded(source)] = m
		}
		all = append(all, declaration{moveManifest(t, b, root), moved})
	}
	return all
}

// tokensOf returns where a bottle's tokens are found.
func tokensOf(b v1alpha1.Bottle) []route.SecretRef {
	var refs []route.SecretRef
	if b.Spec.CredProxy != nil {
		for _, r := range b.Spec.CredProxy.Routes {
			refs = append(refs, r.Token)
		}
	}
	return refs
}

// recordedTokens were in the environment of bottled.
var recordedTokens = map[string]string{
	"ANTHROPIC_API_KEY": "test-token-anthropic", "NPM_TOKEN": "test-token-npm",
	"GEMINI_API_KEY": "test-token-gemini", "CLAUDE_BOTTLE_OAUTH_TOKEN": "test-token-oauth",
}

// moveManifest is a manifest as it would read at the recorded place.
func moveManifest(t *testing.T, b v1alpha1.Bottle, root string) v1alpha1.Bottle {
	t.Helper()
	text, err := json.Marshal(b)
	must(t, err)
	moved := v1alpha1.Bottle{Source: b.Source}
	must(t, json.Unmarshal([]byte(strings.ReplaceAll(string(text), root, recordedRoot)), &moved))
	moved.Source.Path = strings.Replace(b.Source.Path, root, recordedRoot, 1)
	return moved
}

// layOut copies the installation's manifests, and what they refer to, to a directory of the test's own.
func layOut(t *testing.T) string {
	t.Helper()
	const from = "testdata/adopt/installation"
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	write := func(path, content string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o600))
		must(t, os.Chmod(path, 0o644)) // whatever the umask is: modes are part of a build context
	}
	must(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		write(root+strings.TrimPrefix(path, from), strings.ReplaceAll(string(content), recordedRoot, root))
		return nil
	}))
	write(filepath.Join(root, "work/.git/HEAD"), "ref: refs/heads/main\n") // no repository can hold it
	return root
}
