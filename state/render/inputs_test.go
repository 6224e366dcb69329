package render

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostileInputs: special files, files without end and files of an agent are no tokens, CA bundles, environments or build contexts. None of
// them blocks, and none is read to its end.
func TestHostileInputs(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"work/context", "context", "ignored"} {
		must(t, os.MkdirAll(at(name), 0o700))
	}
	for _, name := range []string{"work/token", "work/context/Dockerfile", "context/Dockerfile", "ignored/Dockerfile"} {
		must(t, os.WriteFile(at(name), []byte("x"), 0o600))
	}
	must(t, syscall.Mkfifo(at("fifo"), 0o600))
	must(t, syscall.Mkfifo(at("ignored/.dockerignore"), 0o600))
	must(t, os.WriteFile(at("large"), nil, 0o600))
	must(t, os.Truncate(at("large"), 1<<40))
	must(t, os.Symlink("work/token", at("link")))
	must(t, os.Symlink("../fifo", at("work/out")))
	place, err := safepath.NewPlace(at("work"))
	must(t, err)
	place.Bottle = "evil"
	reader := resolve.Reader{Settings: testSettings, Builds: new(buildcontext.Reader), Writable: safepath.NewSet(place)}

	const notRegular, large, agents = "not a regular file", "too large", "the agent of bottle evil can write it"
	for path, want := range map[string]string{
		at("fifo"): notRegular, "/dev/zero": notRegular, "/dev/tty": notRegular, dir: notRegular, at("large"): large,
		at("work/token"): agents, at("link"): agents, at("work/out"): agents, at("work/../work/token"): agents, "/proc/self/environ": "link of /proc",
	} {
		for kind, m := range map[string]v1alpha1.CredProxy{
			"token":     {Routes: []route.Route{{Token: route.SecretRef{File: path}}}},
			"CA bundle": {CABundle: path},
		} {
			wantError(t, kind+" "+path, want, func() error {
				_, err := reader.Read(v1alpha1.Bottle{Spec: v1alpha1.Spec{CredProxy: &m}})
				return err
			})
		}
		for kind, a := range map[string]v1alpha1.Agent{
			"env file": {EnvFile: []string{path}}, "value": {Env: map[string]v1alpha1.EnvValue{"X": {File: path}}},
		} {
			wantError(t, kind+" "+path, "", func() error {
				_, err := reader.Read(v1alpha1.Bottle{Spec: v1alpha1.Spec{Agent: &a}})
				return err
			})
		}
	}
	for context, want := range map[string]string{at("work/context"): agents, at("ignored"): notRegular, at("fifo"): "not a directory"} {
		wantError(t, "context "+context, want, func() error { _, err := reader.Read(built(context)); return err })
	}
}

// wantError fails when a call does not return soon, or not with the error.
func wantError(t *testing.T, what, want string, call func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s: it blocks", what)
	}
}

func TestReadInputs(t *testing.T) {
	dir := t.TempDir()
	good, empty := filepath.Join(dir, "good"), filepath.Join(dir, "empty")
	for path, content := range map[string]string{good: "abc\n", empty: "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"SET": "v", "EMPTY": ""}[name]
		return v, ok
	}
	for _, c := range []struct {
		ref        route.SecretRef
		want, says string
	}{
		{route.SecretRef{Env: "SET"}, "v", ""},
		{route.SecretRef{Env: "UNSET"}, "", "UNSET is not set"},
		{route.SecretRef{Env: "EMPTY"}, "", "EMPTY is empty"},
		{route.SecretRef{File: good}, "abc", ""},
		{route.SecretRef{File: empty}, "", "is empty"},
		{route.SecretRef{File: good + "x"}, "", "no such file"},
	} {
		m := v1alpha1.Bottle{Spec: v1alpha1.Spec{CredProxy: &v1alpha1.CredProxy{Routes: []route.Route{{Token: c.ref}}}}}
		in, err := resolve.Reader{Getenv: env}.Read(m)
		if c.says == "" && (err != nil || string(in.Tokens[state.TokenSlot(c.ref)].Reveal()) != c.want) {
			t.Errorf("%+v: %v, %v", c.ref, in, err)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "routes[0].token")) {
			t.Errorf("%+v: %v, want an error with %q", c.ref, err, c.says)
		}
	}
}

func TestMountsAreWhatTheyReallyAre(t *testing.T) {
	dir := t.TempDir()
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range []string{"work", "state/bottles", "r/un"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]string{
		link("good", "work"):                         "",
		link("root", "/"):                            "leave its sandbox",
		link("proc", "/proc/self"):                   "leads through a link of /proc",
		link("bottles", "state/bottles"):             "own files in " + filepath.Join(dir, "state"),
		filepath.Join(dir, "r"):                      "own files in " + filepath.Join(dir, "r", "un"),
		filepath.Join(dir, "none"):                   "no such file",
		link("own", "../../../var/lib/bottled/none"): "no such file",
	} {
		m := v1alpha1.Bottle{Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Image: "i", Mounts: []v1alpha1.Mount{{Source: source, Target: "/work"}}}}}
		in, err := resolve.Reader{Settings: state.Settings{StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "r", "un")}}.Read(m)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mounts[0].source") {
				t.Errorf("%s: %v, want an error with %q", source, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := Bottle(m, in, testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		work, err := filepath.EvalSymlinks(filepath.Join(dir, "work"))
		if got := b.Components[1].Container.Mounts[0].Source; err != nil || got != work {
			t.Errorf("mounted is %s, want %s (%v)", got, work, err)
		}
	}
}
