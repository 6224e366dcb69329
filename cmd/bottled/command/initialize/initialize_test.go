package initialize

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/docs/recipes"
	"github.com/bot-bottle/bottled/state"
)

// initialize runs bottled init, and returns what it prints.
func initialize(t *testing.T, args string) (out string, err error) {
	t.Helper()
	var text bytes.Buffer
	streams := command.Streams{Out: terminal.OnWriter(&text, false, false), Errs: terminal.OnWriter(&text, false, false)}
	err = commandtest.Execute(t, New(&command.Factory{Streams: streams, Service: &service.Service{}}, nil), args)
	return text.String(), err
}

// TestInitThenValidate writes the manifest of every recipe, which is valid at once, with all that its image is built from.
func TestInitThenValidate(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("ANTHROPIC_API_KEY", "a")
	t.Setenv("OPENAI_API_KEY", "a")
	dir := t.TempDir()
	s := &service.Service{Settings: service.Settings{Owner: "default", StateDir: dir + "/state", RunDir: dir + "/run", SubnetPool: state.DefaultPool.String()}}
	for _, r := range recipes.All() {
		file := filepath.Join(r.Name, "deep", "dev.yaml")
		out, err := initialize(t, "dev --agent "+r.Name+" -f "+file)
		if err != nil || !strings.Contains(out, "wrote "+file+"\n") || !strings.Contains(out, "bottled validate "+file) {
			t.Errorf("%s: %v\n%s", r.Name, err, out)
		}
		snapshot, err := s.Validate(t.Context(), []string{file})
		if err != nil || len(snapshot.Bottles) != 1 || len(snapshot.Problems)+len(snapshot.Warnings) > 0 {
			t.Errorf("%s: %v %v %v", r.Name, snapshot.Problems, snapshot.Warnings, err)
		}
	}
}

// TestInitOverwritesNothing fails, and writes nothing, when one of its files is there; also a dangling link is.
func TestInitOverwritesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	if out, err := initialize(t, "dev"); err != nil || !strings.HasPrefix(out, "wrote dev.yaml\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile("dev.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "link.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("three/two", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("three/two/Dockerfile", []byte("FROM mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, taken := range map[string]string{
		"dev --agent claude": "dev.yaml", "two -f link.yaml": "link.yaml", "two --agent claude -f three/two.yaml": "three/two/Dockerfile",
	} {
		_, err := initialize(t, args)
		if exit.Code(err, false) != exit.BadInput || !strings.Contains(exit.Message(err), taken+" is there already") {
			t.Errorf("%s: %v", args, err)
		}
	}
	after, err := os.ReadFile("dev.yaml")
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the manifest was changed: %v", err)
	}
	for _, path := range []string{"dev", "nowhere", "three/two.yaml"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was written", path)
		}
	}
}

// TestInitPrints writes to stdout, and nowhere else.
func TestInitPrints(t *testing.T) {
	t.Chdir(t.TempDir())
	want, err := recipes.Recipe{Name: "codex"}.Manifest("dev")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := initialize(t, "dev --agent codex -f -"); err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("it wrote %v (%v)", entries, err)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for args, says := range map[string]string{
		"": "name a bottle", "a b": "name one bottle", "My_Bottle": "can't be the name of a bottle", "dev --agent gemini": "use cargo, claude, codex,",
		"../dev": "can't be the name of a bottle",
	} {
		if _, err := initialize(t, args); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", args, err, says)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("it wrote %v (%v)", entries, err)
	}
}
