package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/fake"
	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/store"
)

// mistake is a command line that people type, and get an answer to that they can act on.
type mistake struct {
	args  string // separated by spaces; DIR is the directory of the test
	env   string // NAME=VALUE
	stdin string
}

// fakeEngine is an engine in memory on this host.
type fakeEngine struct{ *fake.Engine }

func (fakeEngine) SharedPaths(context.Context) ([]string, error) { return nil, nil }
func (fakeEngine) Close() error                                  { return nil }

const devManifest = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: dev, labels: {team: core}}\nspec:\n  agent: {image: 'agent:1', command: [wait]}\n"

// withRoute is a manifest with a route.
func withRoute(token string) string {
	return strings.Replace(devManifest, "agent:", "credProxy: {routes: [{path: /a/, upstream: https://a.example.com, "+token+"}]}\n  agent:", 1)
}

// newWorld is a directory with manifests, and an engine in memory with the bottles dev and review.
func newWorld(t *testing.T) (dir string, open func(state.Settings) (service.Engine, error)) {
	t.Helper()
	dir = t.TempDir()
	for name, value := range map[string]string{
		"STATE_DIR": dir + "/state", "RUN_DIR": dir + "/run", "PIPELOCK_IMAGE": "pipelock:1", "CRED_PROXY_IMAGE": "x", "SUPERVISE_IMAGE": "x", "LOG_LEVEL": "error",
	} {
		t.Setenv("BOTTLED_"+name, value)
	}
	t.Setenv("XDG_CONFIG_HOME", dir+"/config")
	t.Setenv("DOCKER_CONFIG", dir+"/docker")
	for _, name := range []string{"dev", "review"} {
		text := strings.Replace(devManifest, "dev", name, 1)
		if err := errors.Join(os.MkdirAll(dir+"/bottles", 0o700), os.WriteFile(dir+"/bottles/"+name+".yaml", []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	images := map[string]engine.ImageDefaults{"agent:1": {Command: []string{"wait"}}, "pipelock:1": {Command: []string{"wait"}}}
	e := fake.New(fake.Options{
		Settings: state.Settings{Owner: "default", Prefix: "claude-bottle", StateDir: dir + "/state", RunDir: dir + "/run", Pool: state.DefaultPool},
		Images:   images, Program: func(state.Container) fake.Program { return fake.Program{Health: "healthy"} },
	})
	open = func(state.Settings) (service.Engine, error) { return fakeEngine{e}, nil }
	var errs bytes.Buffer
	if code := runWith(io.Discard, &errs, open, "", "reconcile", "--once", dir+"/bottles"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	return dir, open
}

func runWith(out, errs io.Writer, open func(state.Settings) (service.Engine, error), stdin string, args ...string) int {
	streams := command.Streams{Out: terminal.OnWriter(out, false, false), Errs: terminal.OnWriter(errs, false, false)}
	return run(args, streams, &service.Service{OpenEngine: open, Stdin: strings.NewReader(stdin)})
}

// answers are what bottled says to mistakes, with its exit codes.
func answers(t *testing.T, dir string, open func(state.Settings) (service.Engine, error), all []mistake) string {
	t.Helper()
	var text strings.Builder
	for _, m := range all {
		t.Run(m.env+" "+m.args, func(t *testing.T) {
			if name, value, is := strings.Cut(m.env, "="); is {
				t.Setenv(name, strings.ReplaceAll(value, "DIR", dir))
			}
			var out, errs bytes.Buffer
			code := runWith(&out, &errs, open, m.stdin, strings.Fields(strings.ReplaceAll(m.args, "DIR", dir))...)
			if errs.Len() == 0 || code == 0 && !strings.HasPrefix(m.args, "status --owner me") {
				t.Errorf("exit code %d, %q: nothing is wrong?", code, &errs)
			}
			said := strings.ReplaceAll(out.String()+errs.String(), dir, "DIR")
			said = hostWarning.ReplaceAllString(said, "")
			said = aTime.ReplaceAllString(said, "TIME")
			fmt.Fprintf(&text, "$ %s\n%s(exit code %d)\n\n", strings.TrimSpace(m.env+" bottled "+m.args), said, code)
		})
	}
	return text.String()
}

// What the answers hold of this moment and this host.
var (
	aTime       = regexp.MustCompile(`\d{4}-\d\d-\d\dT\S+`)
	hostWarning = regexp.MustCompile(`(?m)^warning: .*\n`)
)

// TestMistakes has everyday mistakes answered. The golden files are to be read aloud: what is wrong, with what, and what to do?
func TestMistakes(t *testing.T) {
	dir, open := newWorld(t)
	if err := errors.Join(os.WriteFile(dir+"/typo.yaml", []byte("ownr: me\n"), 0o600), os.WriteFile(dir+"/broken.yaml", []byte("owner: [\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	withEnv := strings.Replace(devManifest, "command: [wait]", "envFile: [my.env, gone.env], env: {NAME: {env: BOTTLED_TEST_UNSET}}", 1)
	if err := errors.Join(os.WriteFile(dir+"/env.yaml", []byte(withEnv), 0o600), os.WriteFile(dir+"/my.env", []byte("PATH=$PATH:/opt/bin\nTOKEN\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/exec.yaml", []byte(withRoute("token: {exec: [op, read, x]}")), 0o600); err != nil {
		t.Fatal(err)
	}
	withException := strings.Replace(devManifest, "agent:", "egress: {dlpExceptions: [{rule: jwt, host: a.example}]}\n  agent:", 1)
	if err := os.WriteFile(dir+"/exception.yaml", []byte(withException), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/empty", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, all := range mistakes {
		golden.Check(t, filepath.Join("testdata", "mistakes", name+".golden"), answers(t, dir, open, all))
	}
	stop := withProposals(t, dir)
	golden.Check(t, "testdata/mistakes/proposals.golden", answers(t, dir, open, proposalMistakes))
	stop()
	release, err := store.Lock(dir+"/state", "default")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/mistakes/busy.golden", answers(t, dir, open, []mistake{{args: "reconcile --once DIR/bottles"}, {args: "reconcile DIR/bottles"}, {args: "delete dev"}}))
	if err := release(); err != nil {
		t.Error(err)
	}
	golden.Check(t, "testdata/mistakes/engine.golden", answers(t, dir, service.OpenDocker, []mistake{
		{args: "status", env: "DOCKER_HOST=unix:///nope/docker.sock"},
		{args: "status", env: "DOCKER_HOST=/var/run/docker.sock"},
		{args: "status", env: "DOCKER_HOST=tcp://build.example:2375"},
		{args: "status", env: "DOCKER_HOST=ssh://build.example"},
		{args: "status", env: "DOCKER_CONTEXT=prod"},
		{args: "sync"},
	}))
}

// withProposals has a controller with proposals answer until stop is called.
func withProposals(t *testing.T, dir string) (stop func()) {
	t.Helper()
	source := &apitest.Source{}
	var reviews []reconciler.Review
	for id, tool := range map[string]queue.Tool{"t-aaaabbbb": queue.PipelockBlock, "t-aaaacccc": queue.CredProxyBlock, "t-ddddeeee": queue.SecretRequest} {
		p := reconciler.Proposal{ID: id, Bottle: "dev", Tool: tool, Summary: "allow a.example:443", State: reconciler.ProposalWaiting}
		reviews = append(reviews, reconciler.Review{Proposal: p})
	}
	slices.SortFunc(reviews, func(a, b reconciler.Review) int { return strings.Compare(a.ID, b.ID) })
	reviews[1].Dangers = []string{"the token of /a/ would be sent to b.example"}
	source.SetProposals(reviews...)
	source.OnDecide = func(string, string, reconciler.DecisionRequest) error {
		return fmt.Errorf("%w: proposal t-aaaabbbb is approved already, by alice at 2026-11-02T12:00:00Z", reconciler.ErrDecision)
	}
	server, err := api.Listen(t.Context(), api.Options{Source: source, Metrics: prometheus.NewRegistry(), Socket: dir + "/run/controller.sock", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	return func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

var proposalMistakes = []mistake{
	{args: "approve zzzz"},
	{args: "proposals show zzzz"},
	{args: "approve aaaa"},
	{args: "approve aaaac"},
	{args: "approve aaaac --for 2h"},
	{args: "approve aaaab --secret-file token"},
	{args: "approve dddd"},
	{args: "approve dddd --secret-file DIR/none"},
	{args: "approve aaaab --digest 0000"},
	{args: "approve aaaab"},
	{args: "reject aaaab"},
	{args: "reject aaaab --note no"},
}

var mistakes = map[string][]mistake{
	"commands": {
		{args: "stauts"},
		{args: "get"},
		{args: "apply -f DIR/bottles"},
		{args: "xyzzy"},
		{args: "config vew"},
		{args: "status --owtput json"},
		{args: "status -o jsn"},
		{args: "status -w -o wide"},
		{args: "status --all-owners dev"},
		{args: "status -l team=("},
		{args: "plan"},
		{args: "plan DIR/bottles --prune some"},
		{args: "plan -f DIR/bottles/dev.yaml --prune all"},
		{args: "validate"},
		{args: "reconcile"},
		{args: "reconcile DIR/bottles --git https://git.example/x"},
		{args: "reconcile -f DIR/bottles/dev.yaml"},
		{args: "reconcile --once --git https://git.example/x"},
		{args: "sync dev"},
		{args: "logs"},
		{args: "logs dev --since yesterday"},
		{args: "delete"},
		{args: "delete dev --all"},
		{args: "volumes rm"},
		{args: "volumes list"},
		{args: "import"},
		{args: "init"},
		{args: "init My_Bottle"},
		{args: "init dev --agent clause"},
		{args: "init dev -f DIR/bottles/dev.yaml"},
		{args: "exec dev ls"},
		{args: "exec dev"},
		{args: "run"},
		{args: "run dev sh"},
		{args: "run dev review"},
		{args: "cp dev:/a"},
		{args: "cp a b"},
		{args: "cp dev:/a review:/b"},
		{args: "cp dev:a b"},
		{args: "cp dev:/a b --max-size 5GB"},
		{args: "port-forward"},
		{args: "port-forward dev"},
		{args: "port-forward dev http"},
		{args: "port-forward dev 80:0"},
		{args: "port-forward dev 127.0.0.1:3000"},
		{args: "port-forward dev 3000 --address my-host"},
		{args: "approve"},
		{args: "approve a b --edit"},
		{args: "approve a --for soon"},
		{args: "reject"},
		{args: "reject k3x9abcd"},
		{args: "proposals -o wide"},
		{args: "proposal"},
	},
	"names": {
		{args: "status dve"},
		{args: "exec dve -- ls"},
		{args: "run dve"},
		{args: "logs dve"},
		{args: "delete dve"},
		{args: "cp dve:/etc/hosts DIR"},
		{args: "status none-like-it"},
		{args: "exec dev/pipelok -- ls"},
		{args: "exec dev/nothing -- ls"},
		{args: "exec dev/service-db -- ls"},
		{args: "volumes rm claude-bottle-volume-cache.dev"},
		{args: "exec dev/supervise -- ls"},
		{args: "logs dev/supervise"},
		{args: "cp dev:/none DIR"},
		{args: "check dve example.com"},
		{args: "observe dve"},
		{args: "port-forward dve 3000"},
		{args: "traffic dve"},
		{args: "suspend dev/agent"},
		{args: "cut"},
		{args: "restart dev review"},
		{args: "proposals show k3x9abcd"},
		{args: "approve k3x9abcd"},
		{args: "status --owner me --state-dir DIR/other"},
	},
	"settings": {
		{args: "status", env: "BOTTLED_PRALLEL=3"},
		{args: "status", env: "BOTTLED_PARALLEL=many"},
		{args: "status", env: "BOTTLED_COLOUR=no"},
		{args: "status --config DIR/none.yaml"},
		{args: "status --config DIR/typo.yaml"},
		{args: "status --config DIR/broken.yaml"},
		{args: "status --owner Team_A"},
		{args: "status --prefix a_b"},
		{args: "status --parallel 0"},
		{args: "status --timeout 5"},
		{args: "status --timeout -1s"},
		{args: "status --subnet-pool 10.0.0.0/30"},
		{args: "status --subnet-pool 10.213.0.1/16"},
		{args: "status --subnet-pool 8.8.0.0/16"},
		{args: "status --agent-image My/Image"},
		{args: "status --allow-token-exec *"},
		{args: "status", env: "BOTTLED_ALLOW_TOKEN_EXEC=op * read"},
		{args: "reconcile --once DIR/bottles --state-dir /proc/nope"},
		{args: "reconcile DIR/bottles --listen 0.0.0.0:9300"},
		{args: "version --log-level loud"},
	},
	"manifests": {
		{args: "validate DIR/none"},
		{args: "validate DIR/empty"},
		{args: "reconcile --once DIR/none"},
		{args: "import DIR/bottles"},
		{args: "import DIR/none.md"},
		{args: "validate - DIR/bottles"},
		{args: "validate -", stdin: "nonsense: true\n"},
		{args: "validate -", stdin: strings.Replace(devManifest, "agent:", "agnet:", 1)},
		{args: "validate -", stdin: strings.Replace(devManifest, "dev", "My Bottle", 1)},
		{args: "validate -", stdin: strings.Replace(devManifest, "command: [wait]", "env: {TOKEN: ghp_0123456789abcdefghijABCDEFGHIJ012345}", 1)},
		{args: "validate -", stdin: devManifest + "---\n" + devManifest},
		{args: "validate -", stdin: strings.Replace(devManifest, "command: [wait]", "envFile: .env", 1)},
		{args: "validate -", stdin: strings.Replace(devManifest, "agent:", "egress: {dlpExceptions: [jwt, {rule: jwt}, {rule: git-hub-pat, host: a.example}]}\n  agent:", 1)},
		{args: "plan -f DIR/exception.yaml"},
		{args: "validate -f DIR/env.yaml"},
		{args: "validate -", stdin: withRoute("token: op://vault/item/field")},
		{args: "validate -", stdin: withRoute("token: {exec: op read}")},
		{args: "validate -", stdin: withRoute("token: {env: T}, roles: [github-cli]")},
		{args: "validate -", stdin: withRoute("token: {env: T}, headers: {x-api-key: abc}")},
		{args: "reconcile --once -f DIR/exec.yaml"},
		{args: "validate -", stdin: strings.Replace(devManifest, "command: [wait]", "ports: [3000]", 1)},
		{args: "validate -", stdin: strings.Replace(devManifest, "command: [wait]", "ports: [{container: 3000, host: 3000}]", 1)},
		{args: "validate -", stdin: strings.Replace(devManifest, "command: [wait]", "ports: [{container: 3000, host: 'localhost:3000'}]", 1)},
		{args: "plan -f DIR/bottles/none.yaml"},
		{args: "reconcile --git nowhere#"},
	},
}
