package approve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// office is a desk on this host's files, with a controller whose bottles are ready at once.
type office struct {
	*Desk
	t    testing.TB
	dir  string // of the manifests
	mu   sync.Mutex
	read source.Snapshot
	said []reconciler.Event
}

func manifestOf(bottle string) string {
	return fmt.Sprintf("apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: %s}\nspec:\n  supervise: true\n  egress:\n    allowlist:\n      - example.com\n", bottle)
}

// open opens an office with bottles, in a directory that outlives it. Close ends it.
func open(t testing.TB, dir string, watch bool, bottles ...string) (o *office, end func()) {
	t.Helper()
	o = &office{t: t, dir: filepath.Join(dir, "manifests")}
	settings := state.Settings{StateDir: filepath.Join(dir, "state")}
	for _, d := range []string{o.dir, settings.QueueDir("")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range bottles {
		path := filepath.Join(o.dir, b+".yaml")
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(path, []byte(manifestOf(b)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := Config{Settings: settings, Manifests: o, Timeout: DefaultTimeout, Log: zerolog.Nop()}
	if watch {
		c.Watch = func() (Watcher, error) { return Watch(settings.QueueDir("")) }
	}
	o.Desk = New(c)
	o.Attach(o, func() {})
	o.reload()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.Run(ctx)
	}()
	return o, func() {
		cancel()
		<-ended
	}
}

func (o *office) reload() {
	s, err := source.Load(o.dir)
	if err != nil {
		o.t.Error(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read = s
}

func (o *office) ReadWith(file string, content []byte) (source.Snapshot, error) {
	return source.LoadWith(source.Known{}, source.Overlay{Path: file, Content: content}, o.dir)
}

func (o *office) Editable(file string, agents safepath.Set) error { return edit.Check(file, agents) }

func (o *office) Write(file string, before, after []byte, agents safepath.Set) error {
	return edit.Write(file, before, after, agents)
}

func (o *office) Known(string) bool { return true }

func (o *office) Writable() (safepath.Set, bool) { return safepath.Set{}, true }

func (o *office) Declaration(slug string) (Declaration, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.read.Bottles {
		if b.Metadata.Name == slug {
			return Declaration{Bottle: b}, true
		}
	}
	return Declaration{}, false
}

func (o *office) Preview(context.Context, source.Snapshot, string, []byte) (plan.BottlePlan, error) {
	return plan.BottlePlan{}, nil
}

func (o *office) Converge(context.Context, string, string) error {
	o.reload()
	return nil
}

func (o *office) Record(e reconciler.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said = append(o.said, e)
}

func (o *office) ask(bottle, url string) string {
	o.t.Helper()
	dir := o.Settings.QueueDir(bottle)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		o.t.Fatal(err)
	}
	q, err := queue.Open(dir)
	if err != nil {
		o.t.Fatal(err)
	}
	defer q.Close()
	p, err := q.Submit(queue.Proposal{Bottle: "another", Tool: queue.PipelockBlock, Payload: url, Justification: "please\nnow"})
	if err != nil {
		o.t.Fatal(err)
	}
	return p.ID
}

// until waits for something.
func (o *office) until(what string, most time.Duration, is func() bool) {
	o.t.Helper()
	for end := time.Now().Add(most); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("after %s: %s", most, what)
		}
	}
}

func (o *office) state(id string) reconciler.ProposalState {
	for _, p := range o.Proposals() {
		if p.ID == id {
			return p.State
		}
	}
	return ""
}

// TestQueuesAreWatched: a proposal in a queue that did not exist is known at once, and gone when it is withdrawn.
func TestQueuesAreWatched(t *testing.T) {
	o, end := open(t, t.TempDir(), true, "dev")
	defer end()
	time.Sleep(50 * time.Millisecond) // the first listing of all queues is over, and the next is in ten seconds
	for i := range 3 {
		began := time.Now()
		id := o.ask("dev", fmt.Sprintf("https://a%d.example", i))
		o.until("it is not seen", 3*time.Second, func() bool { return o.state(id) == reconciler.ProposalWaiting })
		t.Logf("seen after %s", time.Since(began))
		q, err := queue.Open(o.Settings.QueueDir("dev"))
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Remove(id); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		o.until("it is still there", 3*time.Second, func() bool { return o.state(id) == "" })
	}
}

// TestReplacedProposal stays as it was first seen, whatever is in its file later.
func TestReplacedProposal(t *testing.T) {
	o, end := open(t, t.TempDir(), true, "dev")
	defer end()
	id := o.ask("dev", "https://harmless.example")
	o.until("it is not seen", 15*time.Second, func() bool { return o.state(id) == reconciler.ProposalWaiting })
	path := filepath.Join(o.Settings.QueueDir("dev"), id+".proposal.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	evil := strings.Replace(string(data), "harmless", "evil", 1)
	put(evil)
	o.until("it is not noticed", 15*time.Second, func() bool { return strings.Contains(o.Proposals()[0].Message, "first seen") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o.until("it is still there", 15*time.Second, func() bool { return o.state(id) == "" })
	put(evil)
	time.Sleep(300 * time.Millisecond)
	if o.state(id) != "" {
		t.Error("it came back as another one")
	}
	put(string(data))
	o.until("it does not come back", 15*time.Second, func() bool { return o.state(id) == reconciler.ProposalWaiting })
	if err := o.Decide(t.Context(), "anna", id, reconciler.DecisionRequest{Approve: true}); err != nil {
		t.Fatal(err)
	}
	o.until("it is not answered", 15*time.Second, func() bool { return o.state(id) == reconciler.ProposalAnswered })
	manifest, err := os.ReadFile(filepath.Join(o.dir, "dev.yaml"))
	if err != nil || !strings.Contains(string(manifest), "- harmless.example:443\n") || strings.Contains(string(manifest), "evil") {
		t.Errorf("%s, %v", manifest, err)
	}
}

// TestForgedAnswer of something in the bottle is nobody's decision.
func TestForgedAnswer(t *testing.T) {
	o, end := open(t, t.TempDir(), true, "dev")
	defer end()
	id := o.ask("dev", "https://a.example")
	o.until("it is not seen", 15*time.Second, func() bool { return o.state(id) == reconciler.ProposalWaiting })
	q, err := queue.Open(o.Settings.QueueDir("dev"))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Answer(id, queue.Answer{Status: queue.Approved, By: "anna"}); err != nil {
		t.Fatal(err)
	}
	o.until("it waits", 15*time.Second, func() bool { return o.state(id) == "" })
	if err := o.Decide(t.Context(), "bob", id, reconciler.DecisionRequest{Approve: true}); !errors.Is(err, reconciler.ErrNoProposal) {
		t.Errorf("%v", err)
	}
	if manifest, err := os.ReadFile(filepath.Join(o.dir, "dev.yaml")); err != nil || string(manifest) != manifestOf("dev") {
		t.Errorf("%s, %v", manifest, err)
	}
}

// TestHostileTexts: an agent's words are one printable line of limited size wherever they are shown.
func TestHostileTexts(t *testing.T) {
	for _, payload := range []string{"https://a.example/\x1b[2J", "\n\n", "https://" + strings.Repeat("a", 5000) + ".example", "https://\u202eelpmaxe.live", "javascript:alert(1)", "https://a.example:0"} {
		for _, tool := range []queue.Tool{queue.PipelockBlock, queue.CredProxyBlock, queue.CapabilityBlock, queue.SecretRequest, "\x1b"} {
			text := Summarize(queue.Proposal{Tool: tool, Payload: payload})
			if len(text) > 3*maxShown || strings.ContainsAny(text, "\x1b\n\u202e") {
				t.Errorf("%q", text)
			}
		}
	}
}

func TestAllowedBy(t *testing.T) {
	for _, c := range []struct {
		url, entry string
		want       bool
	}{
		{"https://a.example", "a.example", true},
		{"https://A.example/x?y", "a.example", true},
		{"https://a.example:8443", "a.example", false},
		{"https://a.example:8443", "a.example:8443", true},
		{"https://a.example", "a.example:8443", false},
		{"http://a.example:8080", "a.example", true},
		{"https://b.a.example", "*.a.example", true},
		{"https://a.example", "*.a.example", true},
		{"https://ba.example", "*.a.example", false},
		{"https://10.0.0.1", "10.0.0.1", true},
		{"https://[fd00::1]:8443", "[fd00::1]:8443", true},
		{"https://[fd00::1]", "fd00::1", true},
	} {
		h, err := parseHost(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.allowedBy(c.entry); got != c.want {
			t.Errorf("%s by %s: %v", c.url, c.entry, got)
		}
	}
}

// TestJournalIsPrivate, and what a crash left of it is no decision.
func TestJournalIsPrivate(t *testing.T) {
	j := journal{filepath.Join(t.TempDir(), "approvals")}
	if all, err := j.load(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	x := &decision{
		Bottle: "dev", Phase: phaseApply, Proposal: queue.Proposal{ID: "an-id", Created: time.Now().UTC()}, SpecHash: "x",
		Change: &change{File: "/f", Before: []byte{0xff, 0}, After: []byte("b")}, Decision: reconciler.Decision{Time: time.Now().UTC()},
	}
	if err := j.save(x); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(j.path("an-id")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for name, text := range map[string]string{".new-x.json": "{", "broken.json": "{", "other": "x"} {
		if err := os.WriteFile(filepath.Join(j.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := j.load()
	if err == nil || !strings.Contains(err.Error(), "broken.json") || strings.Contains(err.Error(), ".new") {
		t.Errorf("%v", err)
	}
	x.maybeRecorded = true
	if diff := cmp.Diff([]*decision{x}, all, cmp.AllowUnexported(decision{})); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(j.remove("an-id"), j.remove("an-id")); err != nil {
		t.Error(err)
	}
}

// TestThousandProposals over a hundred bottles are listed at once.
func TestThousandProposals(t *testing.T) {
	dir := t.TempDir()
	var bottles []string
	for i := range 100 {
		bottles = append(bottles, fmt.Sprintf("b%d", i))
	}
	o, end := open(t, dir, false, bottles...)
	end()
	for i := range 1000 {
		o.ask(bottles[i%100], fmt.Sprintf("https://host%d.example", i))
	}
	began := time.Now()
	o.scanAll()
	scanned := time.Since(began)
	began = time.Now()
	all := o.Proposals()
	for _, b := range bottles {
		o.Summary(b)
	}
	listed := time.Since(began)
	t.Logf("read 1000 proposals of 100 queues in %s, then listed and counted them in %s", scanned, listed)
	if len(all) != 1000 || !slices.IsSortedFunc(all, func(a, b reconciler.Proposal) int { return a.Asked.Compare(b.Asked) }) || all[0].Bottle != "b0" {
		t.Errorf("%d proposals", len(all))
	}
	if listed > 100*time.Millisecond {
		t.Errorf("listed in %s", listed)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(o.Desk)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 100 || families[0].Metric[0].Gauge.GetValue() != 10 {
		t.Errorf("%v, %v", families, err)
	}
}

// TestEntry writes what opens the host, and as little else as its pipelock can tell apart.
func TestEntry(t *testing.T) {
	for _, test := range []struct {
		url         string
		with, plain string
	}{
		{"https://docs.example/x", "docs.example:443", "docs.example"},
		{"http://docs.example", "docs.example:80", "docs.example"},
		{"https://docs.example:8443", "docs.example:8443", "docs.example:8443"},
	} {
		h, err := parseHost(test.url)
		if err != nil || h.entry(true) != test.with || h.entry(false) != test.plain {
			t.Errorf("%s: %q and %q, %v", test.url, h.entry(true), h.entry(false), err)
		}
	}
}
