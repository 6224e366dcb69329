package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
	"github.com/bot-bottle/bottled/state/printable"
)

// hostileNames are names that an agent gives to files in a directory that is mounted into its bottle.
var hostileNames = []string{
	"\x1b]0;title\a", "\x1b[2J\x1b[H", "a\rbottled: all valid", "a\nbottled: all valid", "\u202egnp.yaml",
	"\u009b2J", "\xff\x9b31m", "\u200b\u3164\ufe0f\U000e0041", "\x7f\b\b",
}

// assertReadable fails for output that a terminal would not show as it is.
func assertReadable(t *testing.T, what, output string) {
	t.Helper()
	if err := printable.Check(output); err != nil {
		t.Errorf("%s: %v in %q", what, err, output)
	}
	for line := range strings.SplitSeq(output, "\n") {
		if strings.HasPrefix(line, "bottled: all valid") {
			t.Errorf("%s: a file's name passes for a message: %q", what, output)
		}
	}
}

// TestFileNamesDoNotSteerTheTerminal has hostile names where commands read files.
func TestFileNamesDoNotSteerTheTerminal(t *testing.T) {
	const broken = "apiVersion: bottled.dev/v1alpha1\nkind: Bottle\nmetadata: {name: x}\nspec: {nonsense: true}\n"
	for i, name := range hostileNames {
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
			for _, terminal := range []bool{false, true} {
				var out, errs bytes.Buffer
				code := run(args, console{w: &out, terminal: terminal}, console{w: &errs, terminal: terminal})
				what := fmt.Sprintf("name %d, bottled %q", i, args)
				assertReadable(t, what+" on stdout", out.String())
				assertReadable(t, what+" on stderr", errs.String())
				if code == exitDone || errs.Len() == 0 {
					t.Errorf("%s: exit code %d, and nothing is said", what, code)
				}
			}
		}
	}
}

// TestEngineTextsDoNotSteerTheTerminal has hostile texts in everything that a status shows, and in a log line.
func TestEngineTextsDoNotSteerTheTerminal(t *testing.T) {
	for _, name := range hostileNames {
		status := live(conditions(bottle("a", "Failed"+name, "container "+name+" is foreign", part(state.Pipelock, name, 2)), 0, name, name))
		status.Bottles[0].Components[0].Image = name
		status.Controller.SourceError, status.Controller.Revision = name, name
		status.Controller.Problems, status.Controller.Held, status.Controller.HeldReason = []string{name}, []string{name}, name
		status.Warnings, status.Controller.Warnings = []string{name}, []string{"late: " + name}
		for _, format := range []string{"table", "json", "yaml"} {
			var out bytes.Buffer
			if err := (output{format}).live(console{w: &out}, status); err != nil {
				t.Fatal(err)
			}
			assertReadable(t, format, out.String())
			if format == "table" && !strings.Contains(out.String(), "\nwarning: late: ") {
				t.Errorf("the controller's warning is missing in\n%s", &out)
			}
			var got reconciler.Status
			var err error
			switch format {
			case "json":
				err = json.Unmarshal(out.Bytes(), &got)
			case "yaml":
				err = yaml.Unmarshal(out.Bytes(), &got)
			default:
				continue
			}
			if want := string([]rune(name)); err != nil || got.Controller.Revision != want {
				t.Errorf("%s is not exact: %q, want %q; %v", format, got.Controller.Revision, want, err)
			}
		}
		plan := plan.Plan{Bottles: []plan.BottlePlan{
			{Slug: "a", Err: fmt.Errorf("container %s is foreign", name)},
			{Slug: "b", Steps: []plan.Step{{
				Action: plan.Remove, Component: state.Agent, Object: name, Cause: name,
				Changes: []observe.Change{{Field: name, Before: name, After: "x\n" + name}},
			}}},
		}, Held: []string{name}, HeldWhy: name}
		var out bytes.Buffer
		if err := (output{"table"}).plan(console{w: &out}, plan, state.Settings{Images: map[state.ComponentName]string{state.Pipelock: name}}); err != nil {
			t.Fatal(err)
		}
		assertReadable(t, "plan", out.String())
		for _, terminal := range []bool{false, true} {
			var out bytes.Buffer
			c := console{w: &out, terminal: terminal}
			logger := zerolog.New(c.logWriter())
			logger.Warn().Err(errors.New(name)).Str("object", name).Strs("bottles", []string{name}).Msg(name)
			assertReadable(t, "log", out.String())
		}
		var drawn, shown bytes.Buffer
		s := &screen{out: console{w: &drawn}, size: func() (int, int) { return 80, 24 }}
		if err := s.draw(func(int, int) []line { return []line{{text: name}} }); err != nil || strings.Contains(drawn.String(), name) {
			t.Errorf("the screen shows %q, %v", drawn.String(), err)
		}
		show := logPrinter(console{w: &shown, terminal: true}, true)
		if err := show(state.Agent, engine.LogLine{At: time.Now(), Text: []byte(name + "\n")}); err != nil {
			t.Fatal(err)
		}
		assertReadable(t, "logs", shown.String())
	}
}

// TestOneWayOut keeps everything that is printed on the way through a console.
func TestOneWayOut(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		makers := []string{"main.go", "terminal.go"} // of consoles, and of sessions
		if strings.HasSuffix(name, "_test.go") || slices.Contains(makers, name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, is := n.(*ast.SelectorExpr)
			if !is {
				return true
			}
			used := fmt.Sprintf("%v.%s", selector.X, selector.Sel.Name)
			if slices.Contains([]string{"os.Stdout", "os.Stderr", "fmt.Print", "fmt.Println", "fmt.Printf"}, used) {
				t.Errorf("%s uses %s: print through the app's consoles", name, used)
			}
			return true
		})
	}
}
