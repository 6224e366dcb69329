package imports

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/state"
)

// TestImport converts files, and validates what is printed.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dev.md": "---\nenv: {LANG: C.UTF-8}\n---\n", "ops.md": "---\nsupervise: true\n---\n", "more.md": "---\nsupervise: true\nhome: /root\n---\n", "bad.md": "---\negress: {allowlist: ['*']}\n---\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files   []string
		image   string
		code    int
		says    string // on stderr, or as the error
		bottles int    // in what is printed, which is valid
	}{
		{[]string{"dev.md", "ops.md"}, "my-agent:1", exit.Done, "", 2},
		{[]string{"ops.md"}, "", exit.Done, "", 1},
		{[]string{"dev.md", "ops.md"}, "", exit.BadInput, "dev.md:2:6: env: it is the agent's", 2},
		{[]string{"more.md"}, "", exit.BadInput, "more.md:3:1: home: unknown key: it has no equivalent", 1},
		{[]string{"bad.md", "ops.md"}, "", exit.BadInput, "1 problem; 1 manifest of 2 files printed", 1},
		{[]string{"bad.md"}, "", exit.BadInput, "bad.md:2:22: egress.allowlist[0]", 0},
	} {
		var out, errs bytes.Buffer
		opts := &Options{Streams: command.Streams{Out: terminal.OnWriter(&out, false, false), Errs: terminal.OnWriter(&errs, false, false)}}
		s := &service.Service{Settings: service.Settings{Images: map[state.ComponentName]*string{state.Agent: &c.image}}}
		opts.Import = s.Import
		for _, name := range c.files {
			opts.Files = append(opts.Files, filepath.Join(dir, name))
		}
		err := run(opts)
		if err != nil {
			fmt.Fprintln(&errs, err)
		}
		if code := exit.Code(err, false); code != c.code || !strings.Contains(errs.String(), c.says) || c.says == "" && errs.Len() > 0 {
			t.Errorf("%v: exit code %d, want %d; it says %q, want %q", c.files, code, c.code, &errs, c.says)
		}
		if c.bottles == 0 {
			if out.Len() > 0 {
				t.Errorf("%v printed %s", c.files, &out)
			}
			continue
		}
		path := filepath.Join(t.TempDir(), "imported.yaml")
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if snapshot, err := source.Load(path); err != nil || len(snapshot.Bottles) != c.bottles || len(snapshot.Problems) > 0 {
			t.Errorf("%v: %d bottles, %v, %v\n%s", c.files, len(snapshot.Bottles), snapshot.Problems, err, &out)
		}
	}
}
