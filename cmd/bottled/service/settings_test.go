package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
)

func resolveSettings(t *testing.T, args ...string) (Settings, error) {
	t.Helper()
	var s Settings
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.Flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.Resolve(f)
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
		s.Image(state.Supervise) != "from-legacy-env" || s.Image(state.CredProxy) != "from-env" || s.Image(state.Pipelock) != "builtin" ||
		s.Image(state.Agent) != "from-legacy-env" {
		t.Errorf("%+v", s)
	}
}

// TestAllowTokenExec: the setting is a list in the configuration file, and separated by commas elsewhere. None is the default.
func TestAllowTokenExec(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"list": "allow-token-exec: [\"op read *\", /bin/a]\n", "one": "allow-token-exec: op read *\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		env, want string
		args      []string
	}{
		{"", "[]", nil},
		{"", "[[op read *] [/bin/a]]", []string{"--config", filepath.Join(dir, "list")}},
		{"", "[[op read *]]", []string{"--config", filepath.Join(dir, "one")}},
		{"vault x,b *", "[[vault x] [b *]]", []string{"--config", filepath.Join(dir, "list")}},
		{"vault", "[[c] [d *]]", []string{"--config", filepath.Join(dir, "list"), "--allow-token-exec", "c", "--allow-token-exec", "d *"}},
	} {
		if c.env != "" {
			t.Setenv("BOTTLED_ALLOW_TOKEN_EXEC", c.env)
		}
		s, err := resolveSettings(t, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.tokenExec(); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s %v: %v (%v), want %s", c.env, c.args, got, err, c.want)
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
		"--owner":             {"--owner", "Not A Label"},
		"--prefix":            {"--prefix", "a_b"},
		"--parallel":          {"--parallel", "0"},
		"--timeout":           {"--timeout", "-1s"},
		"--subnet-pool":       {"--subnet-pool", "x"},
		"--agent-image":       {"--agent-image", "My Image"},
		"too small":           {"--subnet-pool", "10.0.0.0/30"},
		"no such file":        {"--config", filepath.Join(dir, "none")},
		"unknown setting":     {"--config", config("ownr: x\n")},
		"yaml":                {"--config", config("a: [\n")},
		"did you mean owner?": {"--config", config("ownr: x\n")},
		"write a number":      {"--config", config("parallel: many\n")},
	} {
		if _, err := resolveSettings(t, args...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error with %q", args, err, says)
		}
	}
}

func TestSocketPath(t *testing.T) {
	for want, s := range map[string]Settings{
		"/r/controller.sock": {StateDir: "/s", RunDir: "/r"},
		"/run/bottled/" + state.Digest("/s") + "/controller.sock": {StateDir: "/s"},
	} {
		if s.RunDir == "" && os.Geteuid() != 0 {
			want = filepath.Join(t.TempDir(), "bottled", state.Digest("/s"), "controller.sock")
			t.Setenv("XDG_RUNTIME_DIR", strings.TrimSuffix(want, filepath.Join("/bottled", state.Digest("/s"), "controller.sock")))
		}
		if got, err := s.socket(); got != want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
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
		if s, err := resolveSettings(t); err != nil || s.Image("extra") != c.want {
			t.Errorf("%s: %q, %v, want %q", c.variable, s.Image("extra"), err, c.want)
		}
	}
}

// A variable that looks like a setting and is none is an error; those of tests and of the shell completion are not looked at.
func TestUnknownVariables(t *testing.T) {
	for variable, says := range map[string]string{
		"BOTTLED_PRALLEL":                 "environment variable BOTTLED_PRALLEL: unknown setting; did you mean BOTTLED_PARALLEL?",
		"BOTTLED_PRUNE_HELD":              "", // of another command
		"BOTTLED_COLOUR":                  "environment variable BOTTLED_COLOUR: unknown setting; see bottled --help",
		"BOTTLED_TEST_NIGHTLY":            "",
		"BOTTLED_ACTIVE_HELP":             "",
		"BOTTLED_COMPLETION_DESCRIPTIONS": "",
		"CLAUDE_BOTTLE_SOMETHING":         "",
	} {
		s := Settings{FlagNames: []string{"parallel", "prune-held"}}
		got := s.checkEnvironment(pflag.NewFlagSet("test", pflag.ContinueOnError), []string{"PATH=/bin", variable + "=1"})
		if err := errors.Join(got...); says == "" && err != nil || says != "" && (err == nil || err.Error() != says) {
			t.Errorf("%s: %v, want %q", variable, err, says)
		}
	}
	t.Setenv("BOTTLED_PRALLEL", "3")
	if _, err := resolveSettings(t); err == nil || !strings.Contains(err.Error(), "BOTTLED_PARALLEL?") {
		t.Errorf("BOTTLED_PRALLEL: %v", err)
	}
}

func TestView(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("timeout: 5s\nprune: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BOTTLED_OWNER", "ci")
	t.Setenv("CLAUDE_BOTTLE_AGENT_IMAGE", "legacy")
	var s Settings
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.Flags(f)
	f.String("prune", "guarded", "")
	if err := errors.Join(f.Parse([]string{"--config", config, "--run-dir", "relative"}), s.Resolve(f)); err != nil {
		t.Fatal(err)
	}
	all, err := s.View(f)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Setting{
		{"timeout", "5s", config},
		{"prune", "none", config},
		{"owner", "ci", "environment variable BOTTLED_OWNER"},
		{"agent-image", "legacy", "environment variable CLAUDE_BOTTLE_AGENT_IMAGE"},
		{"config", config, "flag"},
		{"run-dir", filepath.Join(here, "relative"), "flag"}, // as it is used
		{"prefix", "claude-bottle", "default"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%+v is missing in %+v", want, all)
		}
	}
	if i := slices.IndexFunc(all, func(s Setting) bool { return s.Name == "state-dir" }); !strings.HasSuffix(all[i].Value, "/bottled-ci") || all[i].Origin != "default" {
		t.Errorf("%+v, want what it is worked out to be", all[i])
	}
}
