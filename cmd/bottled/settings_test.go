package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
)

func resolveSettings(t *testing.T, args ...string) (settings, error) {
	t.Helper()
	var s settings
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.resolve(f)
}

func TestSettingsPrecedence(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("owner: from-file\nprefix: from-file\ntimeout: 5s\nparallel: 3\nprune: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BOTTLED_CONFIG", config)
	t.Setenv("BOTTLED_OWNER", "from-env")
	t.Setenv("BOTTLED_PREFIX", "from-env")
	t.Setenv("CLAUDE_BOTTLE_SUPERVISE_IMAGE", "from-legacy-env")
	t.Setenv("BOTTLED_CRED_PROXY_IMAGE", "from-env")
	t.Setenv("CLAUDE_BOTTLE_CRED_PROXY_IMAGE", "from-legacy-env")
	t.Setenv("CLAUDE_BOTTLE_AGENT_IMAGE", "from-legacy-env")
	s, err := resolveSettings(t, "--prefix", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	if s.Prefix != "from-flag" || s.Owner != "from-env" || s.Timeout != 5*time.Second || s.Parallel != 3 ||
		s.image(state.Supervise) != "from-legacy-env" || s.image(state.CredProxy) != "from-env" || s.image(state.Pipelock) != "builtin" ||
		s.image(state.Agent) != "from-legacy-env" {
		t.Errorf("%+v", s)
	}
}

// A component that is registered has an image setting, like the others.
func TestImageSettingOfNewComponent(t *testing.T) {
	before := kinds.All
	t.Cleanup(func() { kinds.All = before })
	kinds.All = kinds.All.With(component.Kind{
		Component: contract.Component{Name: "extra"}, Image: &component.ImageSetting{Default: state.Builtin, Usage: "`image` of extra", Legacy: "OLD_EXTRA"},
	})
	for _, c := range []struct{ variable, want string }{{"UNUSED", state.Builtin}, {"OLD_EXTRA", "old"}, {"BOTTLED_EXTRA_IMAGE", "new"}} {
		t.Setenv(c.variable, c.want)
		if s, err := resolveSettings(t); err != nil || s.image("extra") != c.want {
			t.Errorf("%s: %q, %v, want %q", c.variable, s.image("extra"), err, c.want)
		}
	}
}

func TestBadSettings(t *testing.T) {
	dir := t.TempDir()
	config := func(text string) string {
		path := filepath.Join(dir, strings.NewReplacer(" ", "", ":", "", "\n", "").Replace(text))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for says, args := range map[string][]string{
		"--owner":         {"--owner", "Not A Label"},
		"--prefix":        {"--prefix", "a_b"},
		"--parallel":      {"--parallel", "0"},
		"--timeout":       {"--timeout", "-1s"},
		"--subnet-pool":   {"--subnet-pool", "x"},
		"--agent-image":   {"--agent-image", "My Image"},
		"too small":       {"--subnet-pool", "10.0.0.0/30"},
		"no such file":    {"--config", filepath.Join(dir, "none")},
		"unknown setting": {"--config", config("ownr: x\n")},
		"yaml":            {"--config", config("a: [\n")},
		"invalid syntax":  {"--config", config("parallel: many\n")},
	} {
		if _, err := resolveSettings(t, args...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error with %q", args, err, says)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	t.Setenv("BOTTLED_STATE_DIR", t.TempDir())
	for _, args := range [][]string{
		{"reconcile"},
		{"reconcile", "--once"},
		{"plan"},
		{"plan", "x", "--no-such-flag"},
		{"plan", ".", "--prune", "some"},
		{"plan", ".", "-o", "xml"},
		{"status", "-o", "xml"},
		{"delete"},
		{"delete", "a", "--all"},
		{"nonsense"},
		{"validate"},
		{"import"},
		{"import", "/no/such/file.md"},
		{"import", "."},
		{"import", "settings.go"},
		{"schema", "x"},
		{"reconcile", ".", "--git", "https://git.example/x"},
		{"reconcile", "--once", "--git", "https://git.example/x"},
		{"validate", "/no/such/directory"},
		{"version", "--log-level", "loud"},
	} {
		if code := run(args, console{w: io.Discard}, console{w: io.Discard}); code != exitBadInput {
			t.Errorf("bottled %s: exit code %d, want %d", strings.Join(args, " "), code, exitBadInput)
		}
	}
	for _, args := range [][]string{{}, {"version"}, {"--help"}, {"completion", "bash"}, {"schema"}} {
		if code := run(args, console{w: io.Discard}, console{w: io.Discard}); code != exitDone {
			t.Errorf("bottled %s: exit code %d, want %d", strings.Join(args, " "), code, exitDone)
		}
	}
}

// TestStateDirectoryOfSomebodyElseIsRefused before anything is read or written in it, or an engine is asked.
func TestStateDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"chmod go-w": func(dir string) error { return os.Chmod(dir, 0o777) },
		"chown":      func(dir string) error { return os.Chown(dir, 54321, 54321) },
	} {
		if name == "chown" && os.Geteuid() != 0 {
			continue
		}
		for _, flag := range []string{"--state-dir", "--run-dir"} {
			dir, other, manifests := filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "other"), t.TempDir()
			if err := errors.Join(os.Mkdir(dir, 0o700), spoil(dir)); err != nil {
				t.Fatal(err)
			}
			otherFlag := map[string]string{"--state-dir": "--run-dir", "--run-dir": "--state-dir"}[flag]
			for _, args := range [][]string{
				{"plan", manifests}, {"reconcile", manifests}, {"reconcile", "--once", manifests}, {"delete", "--all"}, {"run", "x"},
			} {
				var errs bytes.Buffer
				args = append(args, flag, dir, otherFlag, other, "--pipelock-image=x", "--cred-proxy-image=x", "--supervise-image=x")
				code := run(args, console{w: io.Discard}, console{w: &errs})
				if code != exitBadInput && code != exitNoCommand || !strings.Contains(errs.String(), name) || !strings.Contains(errs.String(), flag) {
					t.Errorf("bottled %q with %s in others' hands: exit code %d, %s", args, flag, code, &errs)
				}
				if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
					t.Errorf("bottled %q: %v, %v", args, entries, err)
				}
			}
		}
	}
}
