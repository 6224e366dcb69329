package proposals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal/terminaltest"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

func proposal(random, bottle string) reconciler.Proposal {
	return reconciler.Proposal{
		ID: "t-" + random, Bottle: bottle, Tool: queue.PipelockBlock, Asked: time.Now().Add(-5 * time.Minute), Summary: "allow a.example:443", State: reconciler.ProposalWaiting,
	}
}

// three are a waiting proposal of dev, an answered one that begins as it does, and one of web.
func three() service.Proposals {
	answered := proposal("aaaabbbbdddd", "dev")
	answered.State, answered.Decision = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Rejected, By: "alice"}
	return service.Proposals{Proposals: []reconciler.Proposal{proposal("aaaabbbbcccc", "dev"), answered, proposal("web1web1web1", "web")}}
}

// execute runs the command with arguments; changes are what it follows.
func execute(t *testing.T, args string, tty bool, all service.Proposals, changes ...service.Proposals) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	log := zerolog.Nop()
	err = commandtest.Execute(t, New(&command.Factory{Service: &service.Service{}}, func(opts *Options) error {
		opts.Streams, opts.Log = command.Streams{Out: terminal.OnWriter(&o, tty, false), Errs: terminal.OnWriter(&e, tty, false)}, &log
		opts.List = func(context.Context) (service.Proposals, error) { return all, nil }
		opts.Follow = func(_ context.Context, show func(service.Proposals) error, _ func(error)) error {
			for _, c := range append([]service.Proposals{all}, changes...) {
				if err := show(c); err != nil {
					return err
				}
			}
			return nil
		}
		return run(t.Context(), opts)
	}), args)
	return o.String(), e.String(), err
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const header = "ID          BOTTLE   AGE   TOOL             SUMMARY               STATE\n"
		const asks = "dev      5m    pipelock-block   allow a.example:443   "
		for args, want := range map[string]string{
			"":       header + "aaaabbbbc   " + asks + "waiting\nweb1web1    web" + asks[3:] + "waiting\n",
			"dev":    header + "aaaabbbbc   " + asks + "waiting\n",
			"-a dev": header + "aaaabbbbc   " + asks + "waiting\naaaabbbbd   " + asks + "rejected by alice\n",
			"none":   "no proposals\n",
		} {
			out, errs, err := execute(t, args, false, three())
			if diff := cmp.Diff(want, out); err != nil || errs != "" || diff != "" {
				t.Errorf("%s: %v %s\n%s", args, err, errs, diff)
			}
		}
	})
	offline := service.Proposals{Offline: true, Warnings: []string{"a queue\x1b"}}
	out, errs, err := execute(t, "", false, offline)
	if err != nil || out != "no controller runs, so nothing is answered: start one with bottled reconcile DIR…\n\nno proposals\n" || errs != "warning: a queue\\x1b\n" {
		t.Errorf("%q %q %v", out, errs, err)
	}
	out, _, err = execute(t, "-o json", false, service.Proposals{})
	if err != nil || out != "{\n  \"proposals\": []\n}\n" {
		t.Errorf("%q %v", out, err)
	}
	out, _, err = execute(t, "-o json --all", false, three())
	var got service.Proposals
	if err := errors.Join(err, json.Unmarshal([]byte(out), &got)); err != nil || len(got.Proposals) != 3 {
		t.Errorf("%q %v", out, err)
	}
}

// TestWatch: the bell rings for a new proposal on a terminal, and nowhere else.
func TestWatch(t *testing.T) {
	first := service.Proposals{Proposals: three().Proposals[:1]}
	applying := service.Proposals{Proposals: []reconciler.Proposal{first.Proposals[0]}}
	applying.Proposals[0].State = reconciler.ProposalApplying
	for name, c := range map[string]struct {
		args  string
		tty   bool
		bells int
		says  string
	}{
		"on a terminal":      {"-w", true, 1, "web1web1"},
		"of one bottle":      {"-w dev", true, 0, "aaaabbbb"},
		"without a terminal": {"-w", false, 0, "web1web1"},
		"as JSON":            {"-w -o json", true, 0, `"id":"t-web1web1web1"`},
		"as YAML":            {"-w -o yaml", false, 0, "---\nproposals:\n"},
	} {
		out, _, err := execute(t, c.args, c.tty, first, applying, three(), three())
		if err != nil || strings.Count(out, "\a") != c.bells || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v %q", name, err, out)
		}
	}
}

func TestDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := terminaltest.New(100, 6)
		d := &display{Options: &Options{All: true}, screen: terminal.NewScreenOfSize(terminal.OnWriter(e, true, false), e.Size)}
		d.Out = terminal.OnWriter(e, true, false)
		if err := d.show(three()); err != nil || !strings.HasPrefix(e.Text(), "ID ") || !strings.Contains(e.Text(), "\nweb1web1 ") {
			t.Errorf("%v\n%s", err, e.Text())
		}
		d.trouble(errors.New("gone\nfor long"))
		ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
		defer cancel()
		if err := terminal.Refresh(ctx, &d.mu, d.draw); err != nil {
			t.Error(err)
		}
		if got := e.Text(); !strings.HasPrefix(got, "not up to date: gone; for long\n") || !strings.Contains(got, " 6m ") {
			t.Error(got)
		}
		many := three()
		many.Proposals = append(many.Proposals, proposal("newest", "dev"))
		if err := d.show(many); err != nil || !strings.Contains(e.Text(), "newest") {
			t.Errorf("%v\n%s", err, e.Text())
		}
		many.Proposals = append(many.Proposals, proposal("newer", "dev"), proposal("more", "dev"))
		if err := d.show(many); err != nil || !strings.HasPrefix(e.Text(), "… 3 lines above\n") || !strings.Contains(e.Text(), "\nmore ") {
			t.Errorf("%v\n%s", err, e.Text())
		}
		if err := e.Restored(); err != nil {
			t.Error(err)
		}
	})
}

// TestHostile: what an agent writes is shown as it is.
func TestHostile(t *testing.T) {
	for _, text := range terminaltest.HostileTexts {
		p := proposal("aaaabbbbcccc", "dev")
		p.Summary, p.Justification, p.Message = "allow "+text, text, text
		review := reconciler.Review{Proposal: p, Payload: text, Diff: "+" + text, File: text, Plan: []string{text}, Warnings: []string{text}, Dangers: []string{text}, Blocked: text}
		review.Refused = []reconciler.RefusedRequest{{Request: text, Reason: text, Component: text}}
		for _, args := range []string{"", "-o json", "-o yaml", "-w"} {
			out, errs, err := execute(t, args, false, service.Proposals{Proposals: []reconciler.Proposal{p}, Warnings: []string{text}})
			if err != nil {
				t.Errorf("%q: %v", args, err)
			}
			terminaltest.AssertReadable(t, args, out)
			terminaltest.AssertReadable(t, args, errs)
		}
		for _, args := range []string{"aaaa", "aaaa -o json", "aaaa -o yaml"} {
			out, err := executeShow(t, args, review)
			if err != nil {
				t.Errorf("show %q: %v", args, err)
			}
			terminaltest.AssertReadable(t, args, out)
		}
	}
}

func executeShow(t *testing.T, args string, review reconciler.Review) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := commandtest.Execute(t, NewShow(&command.Factory{Service: &service.Service{}}, func(o *ShowOptions) error {
		o.Out = terminal.OnWriter(&out, true, true)
		o.Find = func(_ context.Context, id string) (reconciler.Proposal, error) {
			return service.SelectProposal([]reconciler.Proposal{review.Proposal}, id)
		}
		o.Review = func(_ context.Context, id string) (reconciler.Review, error) {
			if id != review.ID {
				t.Errorf("review of %q", id)
			}
			return review, nil
		}
		err := show(t.Context(), o)
		plain := out.String()
		for _, colour := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"} {
			plain = strings.ReplaceAll(plain, colour, "")
		}
		out.Reset()
		out.WriteString(plain)
		return err
	}), args)
	return out.String(), err
}

func TestShow(t *testing.T) {
	p := proposal("aaaabbbbcccc", "dev")
	out, err := executeShow(t, "aaaab", reconciler.Review{Proposal: p, Diff: "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n", File: "/m/dev.yaml"})
	if err != nil || !strings.Contains(out, "change of /m/dev.yaml\n  --- a\n  +++ b\n  @@ -1 +1 @@\n  -x\n  +y\n") || !strings.Contains(out, "approve: bottled approve aaaab\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := executeShow(t, "zz", reconciler.Review{Proposal: p}); !errors.Is(err, reconciler.ErrNoProposal) {
		t.Errorf("%v", err)
	}
	for _, args := range []string{"", "a b"} {
		if _, err := executeShow(t, args, reconciler.Review{}); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
