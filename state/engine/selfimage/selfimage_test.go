package selfimage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func compile(t *testing.T, cgo string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	program := "package main\n\nfunc main() {}\n"
	if cgo == "1" {
		program = "package main\n\nimport \"C\"\n\nfunc main() {}\n"
	}
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-o", path, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestImageIsReproducible(t *testing.T) {
	path := compile(t, "0")
	var ids []string
	for range 2 {
		image, err := Of(path, "bottled")
		if err != nil {
			t.Fatal(err)
		}
		img, err := image.build()
		if err != nil {
			t.Fatal(err)
		}
		id, err := img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, image.Ref+" "+id.String())
		if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] != ids[1] || !strings.HasPrefix(ids[0], "bottled:") {
		t.Errorf("the same executable gives different images: %v", ids)
	}
}

func TestWhatCannotServe(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		compile(t, "1"): "linked dynamically",
		text:            "not a Linux executable",
		text + "-gone":  "no such file",
	} {
		_, err := Of(path, "bottled")
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "CGO_ENABLED=0 go build") {
			t.Errorf("%s: %v, want an error with %q and how to build it", path, err, says)
		}
	}
}
