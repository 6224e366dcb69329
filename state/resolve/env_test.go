package resolve

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// tree writes files below a directory of the test's own, and returns a function that makes paths in it.
func tree(t *testing.T, files map[string]string) (at func(string) string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at = func(name string) string { return filepath.Join(dir, name) }
	for name, content := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(name)), 0o700), os.WriteFile(at(name), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// withAgent is a bottle whose agent gets an environment.
func withAgent(env map[string]v1alpha1.EnvValue, files ...string) v1alpha1.Bottle {
	return v1alpha1.Bottle{Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Image: "i", Env: env, EnvFile: files}}}
}

var testEnv = map[string]string{"SET": "from bottled", "EMPTY": "", "SECRET": "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "LARGE": strings.Repeat("x", maxEnvValue+1)}

func getenv(name string) (string, bool) {
	value, set := testEnv[name]
	return value, set
}

// TestEnvTakesPrecedenceOverFiles reads two files, a variable and a file; texts of the manifest are not among the inputs.
func TestEnvTakesPrecedenceOverFiles(t *testing.T) {
	at := tree(t, map[string]string{"a.env": "A=a\nB=a\nC=a\n", "b.env": "B=b\nC=b", "value": "line\n\nline\n\n", "crlf": "x\r\n", "none": ""})
	m := withAgent(map[string]v1alpha1.EnvValue{
		"C": {Env: "SET"}, "D": {File: at("value")}, "E": {Text: "text"}, "F": {File: at("crlf")}, "G": {Env: "EMPTY"}, "H": {File: at("none")},
	}, at("a.env"), at("b.env"))
	in, err := Reader{Getenv: getenv}.Read(m)
	want := map[string]string{"A": "a", "B": "b", "C": "from bottled", "D": "line\n\nline\n", "F": "x", "G": "", "H": ""}
	if err != nil || !maps.Equal(in.Env, want) {
		t.Errorf("%q (%v), want %q", in.Env, err, want)
	}
	if in, err := (Reader{}).Read(withAgent(map[string]v1alpha1.EnvValue{"A": {Text: "a"}})); in.Env != nil || err != nil {
		t.Errorf("an environment of texts is read: %q, %v", in.Env, err)
	}
}

// TestEnvIsRefused reads what must not become an agent's environment. The error names the field and, in an env file, the line, and
// nothing of it holds the content.
func TestEnvIsRefused(t *testing.T) {
	at := tree(t, map[string]string{
		"ok": "x", "secret.env": "A=b\nT=ghp_abcdefghijklmnopqrstuvwxyz0123456789\n", "proxy.env": "A=b\n\nhttps_proxy=x\nGIT_CONFIG_KEY_7=x\nANTHROPIC_BASE_URL=x\n",
		"bad.env": "A=b\nwhat abcdefgh\n", "secret": "ghp_abcdefghijklmnopqrstuvwxyz0123456789\n", "binary": "abcdefgh\xff", "nul": "abcdefgh\x00",
		"large": testEnv["LARGE"], "work/agents": "abcdefgh", "state/record": "abcdefgh", "state/git/checkout/x.env": "A=b\n", "run/dev/tokens/env-X": "abcdefgh", "home/.ssh/id": "abcdefgh", ".aws/credentials": "abcdefgh",
	})
	place, err := safepath.NewPlace(at("work"))
	if err != nil {
		t.Fatal(err)
	}
	place.Bottle = "evil"
	reader := Reader{Getenv: getenv, Writable: safepath.NewSet(place), Settings: state.Settings{StateDir: at("state"), RunDir: at("run")}}
	routes := &v1alpha1.CredProxy{Routes: []route.Route{{Token: route.SecretRef{Env: "SET"}, Roles: []route.Role{route.RoleGitInsteadOf, route.RoleAnthropicBaseURL}}}}
	for name, c := range map[string]struct {
		v    v1alpha1.EnvValue
		file string
		want []string
	}{
		"no file":                         {file: "none", want: []string{"envFile[0]: open " + at("none") + ": no such file"}},
		"a secret":                        {file: "secret.env", want: []string{"envFile[0]: " + at("secret.env") + ":2: T: it holds a GitHub token"}},
		"reserved names":                  {file: "proxy.env", want: []string{at("proxy.env") + ":3: https_proxy is set by bottled", ":4: GIT_CONFIG_KEY_7 is set by the role", ":5: ANTHROPIC_BASE_URL is set by the role"}},
		"a line that is none":             {file: "bad.env", want: []string{at("bad.env") + ":2: the line is not NAME=VALUE"}},
		"a file of an agent":              {file: "work/agents", want: []string{"envFile[0]: the agent of bottle evil can write it"}},
		"a file that is too large":        {file: "large", want: []string{"too large"}},
		"bottled's record":                {file: "state/record", want: []string{"an agent must not see bottled's own files"}},
		"a directory":                     {file: "home", want: []string{"not a regular file"}},
		"a secret as a value":             {v: v1alpha1.EnvValue{File: at("secret")}, want: []string{"env.X: " + at("secret") + ": it holds a GitHub token"}},
		"a variable with a secret":        {v: v1alpha1.EnvValue{Env: "SECRET"}, want: []string{"env.X: environment variable SECRET: it holds a GitHub token"}},
		"a variable that is unset":        {v: v1alpha1.EnvValue{Env: "UNSET"}, want: []string{"environment variable UNSET is not set"}},
		"a large variable":                {v: v1alpha1.EnvValue{Env: "LARGE"}, want: []string{"environment variable LARGE: more than"}},
		"no text":                         {v: v1alpha1.EnvValue{File: at("binary")}, want: []string{at("binary") + ": it is not UTF-8"}},
		"a NUL":                           {v: v1alpha1.EnvValue{File: at("nul")}, want: []string{at("nul") + ": the text contains a NUL"}},
		"a large value":                   {v: v1alpha1.EnvValue{File: at("large")}, want: []string{"too large"}},
		"a value that an agent can write": {v: v1alpha1.EnvValue{File: at("work/agents")}, want: []string{"the agent of bottle evil can write it"}},
		"another bottle's token":          {v: v1alpha1.EnvValue{File: at("run/dev/tokens/env-X")}, want: []string{"an agent must not see bottled's own files"}},
		"a key":                           {v: v1alpha1.EnvValue{File: at("home/.ssh/id")}, want: []string{"an agent must not see it", "holds credentials"}},
		"other credentials":               {file: ".aws/credentials", want: []string{"an agent must not see it"}},
		"the host's secrets":              {v: v1alpha1.EnvValue{File: "/etc/shadow"}, want: []string{"an agent must not see it"}},
		"the kernel's files":              {v: v1alpha1.EnvValue{File: "/proc/version"}, want: []string{"an agent must not see it"}},
		"bottled's own environment":       {v: v1alpha1.EnvValue{File: "/proc/self/environ"}, want: []string{"link of /proc"}},
	} {
		m := withAgent(nil)
		m.Spec.CredProxy = routes
		if c.file != "" {
			m.Spec.Agent.EnvFile = []string{at(c.file)}
		} else {
			m.Spec.Agent.Env = map[string]v1alpha1.EnvValue{"X": c.v}
		}
		in, err := reader.Read(m)
		if err == nil || in.Env != nil {
			t.Errorf("%s: %v, %v", name, in.Env, err)
			continue
		}
		for _, want := range append(c.want, "spec.agent.env") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: the error quotes the content: %v", name, err)
		}
	}
	if in, err := reader.Read(withAgent(nil, at("state/git/checkout/x.env"))); err != nil || in.Env["A"] != "b" {
		t.Errorf("a file next to a manifest in a checkout: %v, %v", in.Env, err)
	}
}

// TestServiceEnv reads a service's environment by the rules of an agent's. What can't be read of one takes nothing from another.
func TestServiceEnv(t *testing.T) {
	at := tree(t, map[string]string{"value": "line\n", "home/.ssh/id": "abcdefgh"})
	m := v1alpha1.Bottle{Spec: v1alpha1.Spec{Services: []v1alpha1.Service{
		{Name: "db", Env: map[string]v1alpha1.EnvValue{"A": {Env: "SET"}, "B": {File: at("value")}, "C": {Text: "text"}}},
		{Name: "texts", Env: map[string]v1alpha1.EnvValue{"A": {Text: "a"}}},
		{Name: "cache", Env: map[string]v1alpha1.EnvValue{"K": {File: at("home/.ssh/id")}, "S": {Env: "SECRET"}}},
	}}}
	in, err := Reader{Getenv: getenv}.Read(m)
	want := map[string]map[string]string{"db": {"A": "from bottled", "B": "line"}}
	if diff := cmp.Diff(want, in.ServiceEnv); diff != "" || in.Env != nil {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, text := range []string{"spec.services[2].env.K", "an agent must not see it", "spec.services[2].env.S", "environment variable SECRET: it holds a GitHub token"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want an error with %q", err, text)
		}
	}
}
