package terminal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEdit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	script := filepath.Join(t.TempDir(), "editor")
	const text = "#!/bin/sh\n[ \"$1\" = -x ] || exit 3\nstat -c %a \"$2\" >&2\necho more >> \"$2\"\ncase $2 in *.yaml) ;; *) exit 4;; esac\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ visual, editor, saved, says string }{
		{script + " -x", "false", "a\nmore\n", ""},
		{"", script + " -x", "a\nmore\n", ""},
		{script, "", "", "editor " + script + ": exit status 3"},
		{" ", "", "", "name no editor"},
		{"/none/vi", "", "", "no such file"},
	} {
		t.Setenv("VISUAL", c.visual)
		t.Setenv("EDITOR", c.editor)
		saved, err := Edit(t.Context(), "dev.yaml", []byte("a\n"))
		if string(saved) != c.saved || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %q, %v", c, saved, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
