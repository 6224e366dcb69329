package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/reconciler/enginetest"
)

// TestImport runs what a user would: import into a file, and validate that.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dev.md": "---\nenv: {LANG: C.UTF-8}\n---\n", "ops.md": "---\nsupervise: true\n---\n", "more.md": "---\nsupervise: true\nhome: /root\n---\n", "bad.md": "---\negress: {allowlist: ['*']}\n---\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(names ...string) []string {
		args := []string{"import"}
		for _, name := range names {
			args = append(args, filepath.Join(dir, name))
		}
		return args
	}
	for _, c := range []struct {
		args     []string
		code     int
		says     string // on stderr
		manifest string // what is valid of stdout
	}{
		{append(at("dev.md", "ops.md"), "--agent-image", "my-agent:1"), exitDone, "", "2 bottles in 1 file"},
		{at("ops.md"), exitDone, "", "1 bottle in 1 file"},
		{at("dev.md", "ops.md"), exitBadInput, "dev.md:2:6: env: it is the agent's", "2 bottles in 1 file"},
		{at("more.md"), exitBadInput, "more.md:3:1: home: unknown key: it has no equivalent", "1 bottle in 1 file"},
		{at("bad.md", "ops.md"), exitBadInput, "1 problem; 1 manifest of 2 files printed", "1 bottle in 1 file"},
		{at("bad.md"), exitBadInput, "bad.md:2:22: egress.allowlist[0]", ""},
	} {
		r := enginetest.Run(t, []string{"CLAUDE_BOTTLE_AGENT_IMAGE="}, c.args...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.says) || c.says == "" && r.Stderr != "" {
			t.Errorf("%v: exit code %d, want %d; it says %q, want %q", c.args, r.Code, c.code, r.Stderr, c.says)
		}
		if c.manifest == "" {
			if r.Stdout != "" {
				t.Errorf("%v printed %s", c.args, r.Stdout)
			}
			continue
		}
		path := filepath.Join(t.TempDir(), "imported.yaml")
		if err := os.WriteFile(path, []byte(r.Stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if v := enginetest.Run(t, nil, "validate", path); v.Code != exitDone || !strings.HasPrefix(v.Stdout, c.manifest) {
			t.Errorf("%v: validate: %s%s\n%s", c.args, v.Stdout, v.Stderr, r.Stdout)
		}
	}
}
