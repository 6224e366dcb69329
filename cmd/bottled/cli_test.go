package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
)

// bottled runs the program in this process.
func bottled(out, errs io.Writer, args ...string) (code int) {
	return run(args, command.Streams{Out: terminal.OnWriter(out, false, false), Errs: terminal.OnWriter(errs, false, false)}, &service.Service{OpenEngine: service.OpenDocker})
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
		{"import", "main.go"},
		{"schema", "x"},
		{"reconcile", ".", "--git", "https://git.example/x"},
		{"reconcile", "--once", "--git", "https://git.example/x"},
		{"validate", "/no/such/directory"},
		{"version", "--log-level", "loud"},
	} {
		if code := bottled(io.Discard, io.Discard, args...); code != exit.BadInput {
			t.Errorf("bottled %s: exit code %d, want %d", strings.Join(args, " "), code, exit.BadInput)
		}
	}
	for _, args := range [][]string{{}, {"version"}, {"--help"}, {"completion", "bash"}, {"schema"}} {
		if code := bottled(io.Discard, io.Discard, args...); code != exit.Done {
			t.Errorf("bottled %s: exit code %d, want %d", strings.Join(args, " "), code, exit.Done)
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
				code := bottled(io.Discard, &errs, args...)
				if code != exit.BadInput && code != exit.NoCommand || !strings.Contains(errs.String(), name) || !strings.Contains(errs.String(), flag) {
					t.Errorf("bottled %q with %s in others' hands: exit code %d, %s", args, flag, code, &errs)
				}
				if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
					t.Errorf("bottled %q: %v, %v", args, entries, err)
				}
			}
		}
	}
}

// TestFileNamesDoNotSteerTheTerminal has hostile names where commands read files.
func TestFileNamesDoNotSteerTheTerminal(t *testing.T) {
	const broken = "apiVersion: bottled.dev/v1alpha1\nkind: Bottle\nmetadata: {name: x}\nspec: {nonsense: true}\n"
	for i, name := range terminaltest.HostileTexts {
		dir := t.TempDir()
		for _, file := range []string{name + ".yaml", name + ".md", filepath.Join(name, "b.yaml")} {
			path := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(broken), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(
			os.Symlink("/nowhere/"+name, filepath.Join(dir, "link.yaml")),
			os.Mkdir(filepath.Join(dir, name+".yml"), 0o700),
		); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"validate", dir},
			{"validate", filepath.Join(dir, "none"+name)},
			{"import", dir},
			{"import", filepath.Join(dir, name+".md")},
			{"plan", dir, "--config", filepath.Join(dir, "none"+name)},
			{"status", "--owner", name},
			{"nonsense" + name},
			{"validate", "--no-such" + name},
			{"plan", dir, "--subnet-pool", name},
			{"logs", name},
			{"exec", name, "--", "x"},
		} {
			for _, onTerminal := range []bool{false, true} {
				var out, errs bytes.Buffer
				code := run(args, command.Streams{Out: terminal.OnWriter(&out, onTerminal, false), Errs: terminal.OnWriter(&errs, onTerminal, false)}, &service.Service{OpenEngine: service.OpenDocker})
				what := fmt.Sprintf("name %d, bottled %q", i, args)
				terminaltest.AssertReadable(t, what+" on stdout", out.String())
				terminaltest.AssertReadable(t, what+" on stderr", errs.String())
				if code == exit.Done || errs.Len() == 0 {
					t.Errorf("%s: exit code %d, and nothing is said", what, code)
				}
			}
		}
	}
}

// TestOneWayOut has everything that is printed go through a console.
func TestOneWayOut(t *testing.T) {
	makers := []string{"main.go", "terminal/attach.go", "terminal/editor.go"} // of consoles, sessions and editors
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(makers, path) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, is := n.(*ast.SelectorExpr)
			if !is {
				return true
			}
			used := fmt.Sprintf("%v.%s", selector.X, selector.Sel.Name)
			asked := path == "command/target.go" && used == "os.Stdout" // whether it is a terminal
			if slices.Contains([]string{"os.Stdout", "os.Stderr", "fmt.Print", "fmt.Println", "fmt.Printf"}, used) && !asked {
				t.Errorf("%s uses %s: print through the command's streams", path, used)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
