package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/state"
)

// runVariable has this test binary be bottled itself, for a shell.
const runVariable = "BOTTLED_TEST_COMPLETION"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// withoutPackage stands for the functions of bash-completion that the script uses, where that package is not installed: these
// lines have no colon or equals sign in their words, so the words are bash's own.
const withoutPackage = `
if ! declare -F _get_comp_words_by_ref >/dev/null; then
	_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}; }
	__ltrim_colon_completions() { :; }
fi
`

// bashCompletes is what bash offers at the end of a line.
func bashCompletes(t *testing.T, line string) []string {
	t.Helper()
	dir := t.TempDir()
	program := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", runVariable, os.Args[0])
	if err := os.WriteFile(filepath.Join(dir, "bottled"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	if code := bottled(&script, io.Discard, "completion", "bash"); code != 0 {
		t.Fatalf("no script: exit code %d", code)
	}
	words := strings.Split(line, " ")
	test := `[ -r /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion` + withoutPackage + script.String() + fmt.Sprintf(`
compopt() { :; } # it works only while a line is typed
COMP_LINE=%q COMP_POINT=%d COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=(%s) COMP_CWORD=%d
__start_bottled
printf '%%s\n' "${COMPREPLY[@]}"
`, line, len(line), quoted(words), len(words)-1)
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", test)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v: %s", err, out)
	}
	var offered []string
	for l := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(l), " ") // a description follows
		if word != "" {
			offered = append(offered, word)
		}
	}
	return offered
}

func quoted(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, "'"+w+"'")
	}
	return strings.Join(all, " ")
}

// controllerOf serves the status of a controller where the commands of this test look for it.
func controllerOf(t *testing.T, bottles ...string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("BOTTLED_STATE_DIR", filepath.Join(dir, "state"))
	t.Setenv("BOTTLED_RUN_DIR", filepath.Join(dir, "run"))
	status := apitest.Status()
	for _, name := range bottles {
		status.Bottles = append(status.Bottles, apitest.Bottle(name, "Ready", "", apitest.Component(state.Agent, "running", 0)))
	}
	source := &apitest.Source{}
	source.Set(status)
	server, err := api.Listen(t.Context(), api.Options{Source: source, Metrics: prometheus.NewRegistry(), Socket: filepath.Join(dir, "run", "controller.sock")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestBashCompletion(t *testing.T) {
	controllerOf(t, "dev", "review")
	for line, want := range map[string][]string{
		"bottled doc":                    {"doctor"},
		"bottled status ":                {"dev", "review"},
		"bottled status r":               {"review"},
		"bottled status dev ":            {"review"}, // not what is there already
		"bottled delete d":               {"dev"},
		"bottled run ":                   {"dev", "review"},
		"bottled run dev ":               nil,
		"bottled exec rev":               {"review", "review/agent"},
		"bottled exec dev/a":             {"dev/agent"},
		"bottled plan -o ":               {"table", "json", "yaml"},
		"bottled plan --prune g":         {"guarded"},
		"bottled reconcile --prune ":     {"guarded", "all", "none"},
		"bottled status --log-level ":    {"debug", "info", "warn", "error"},
		"bottled status --owner nobody ": {"dev", "review"}, // the directories decide where the controller is
		"bottled config ":                {"view"},
	} {
		got := bashCompletes(t, line)
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%q: bash offers %q, want %q", line, got, want)
		}
	}
}

// Without controller and engine there is nothing to offer, and nothing is said.
func TestCompletionWithoutEngine(t *testing.T) {
	t.Setenv("BOTTLED_STATE_DIR", t.TempDir())
	t.Setenv("BOTTLED_RUN_DIR", t.TempDir())
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	for _, line := range []string{"bottled status ", "bottled exec d", "bottled --config /no/such/file status "} {
		if got := bashCompletes(t, line); len(got) > 0 {
			t.Errorf("%q: %q", line, got)
		}
	}
}
