package approve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// desk is a service whose controller decides at once.
type desk struct {
	reviews []reconciler.Review
	// refuse says what is wrong with a decision.
	refuse   func(reconciler.DecisionRequest) error
	fails    error // of the answer
	gone     error // no controller
	decided  []string
	requests []reconciler.DecisionRequest
}

func (d *desk) CheckController(context.Context) error { return d.gone }

func (d *desk) FindProposal(_ context.Context, id string) (reconciler.Proposal, error) {
	var all []reconciler.Proposal
	for _, r := range d.reviews {
		all = append(all, r.Proposal)
	}
	return service.SelectProposal(all, id)
}

func (d *desk) Review(_ context.Context, id string) (reconciler.Review, error) {
	for _, r := range d.reviews {
		if r.ID == id {
			return r, nil
		}
	}
	return reconciler.Review{}, reconciler.ErrNoProposal
}

func (d *desk) Decide(_ context.Context, id string, request reconciler.DecisionRequest) error {
	if d.refuse != nil {
		if err := d.refuse(request); err != nil {
			return err
		}
	}
	d.decided, d.requests = append(d.decided, id), append(d.requests, request)
	return nil
}

func (d *desk) AwaitAnswer(ctx context.Context, id string, progress func(reconciler.Proposal)) (reconciler.Proposal, error) {
	p, err := d.FindProposal(ctx, id)
	if err != nil {
		return p, err
	}
	p.State, p.Message = reconciler.ProposalApplying, "waiting for dev"
	progress(p)
	p.State, p.Decision = reconciler.ProposalAnswered, &reconciler.Decision{Status: queue.Approved}
	return p, d.fails
}

// review is of a proposal whose tool may be another.
func review(random string, tool queue.Tool) reconciler.Review {
	return reconciler.Review{
		Proposal: reconciler.Proposal{ID: "t-" + random, Bottle: "dev", Tool: tool, Summary: "allow a.example", State: reconciler.ProposalWaiting, Asked: time.Now()},
		File:     "/m/dev.yaml", Digest: "digest-" + random, Diff: "+a.example\n", Edited: "spec: {a: 1}\n# mine\n",
	}
}

// outcome is what came of a command line.
type outcome struct {
	out, errs, question string
	err                 error
}

// execute runs the command on a terminal, where the answer to the question is given, or elsewhere.
func execute(t *testing.T, d *desk, args string, tty bool, change func(*Options)) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	var got outcome
	cmd := New(&command.Factory{Service: &service.Service{}}, func(o *Options) error {
		o.Streams = command.Streams{Out: terminal.OnWriter(&out, false, false), Errs: terminal.OnWriter(&errs, tty, false)}
		o.Service = d
		if tty {
			o.Confirm = func(question string) error { got.question = question; return nil }
			o.AskSecret = func(question string) (string, error) { got.question += question; return "typed", nil }
		}
		if change != nil {
			change(o)
		}
		return run(t.Context(), o)
	})
	got.err = commandtest.Execute(t, cmd, args)
	got.out, got.errs = out.String(), errs.String()
	return got
}

func TestApprove(t *testing.T) {
	host, routes, secret := review("aaaa", queue.PipelockBlock), review("bbbb", queue.CredProxyBlock), review("cccc", queue.SecretRequest)
	routes.Dangers = []string{"the token goes to b.example"}
	blocked, done := review("dddd", queue.PipelockBlock), review("eeee", queue.PipelockBlock)
	blocked.Blocked, done.State = "the directory is read-only", reconciler.ProposalApplying
	for args, c := range map[string]struct {
		tty      bool
		desk     desk
		want     []reconciler.DecisionRequest
		out      string
		says     string
		code     int
		question string
	}{
		"aaaa": {want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa"}}, out: "aaaa: approved, bottle dev: allow a.example\n"},
		"aaaa --for 2h --note because": {
			tty: true, question: "Approve aaaa for bottle dev for 2h0m0s, until TIME?", out: "aaaa: approved, bottle dev: allow a.example\n",
			want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa", For: 2 * time.Hour, Notes: "because"}},
		},
		"aaaa aa --digest digest-aaaa":     {says: "--edit, --secret-file and --digest are for one proposal", code: exit.BadInput},
		"aaaa --digest digest-aaaa":        {want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa"}}, out: "aaaa: approved, bottle dev: allow a.example\n"},
		"aaaa --digest other":              {says: "what would change is not what --digest stands for any more", code: exit.Failed},
		"aaaa aaa t-aaaa --no-wait":        {want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa"}}, out: "aaaa: decided\n"},
		"bbbb":                             {says: "the token goes to b.example; if that is meant, give --allow-new-upstream", code: exit.Failed},
		"bbbb --allow-new-upstream":        {want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-bbbb", AllowNewUpstream: true}}, out: "bbbb: approved, bottle dev: allow a.example\n"},
		"bbbb --for 1h":                    {says: "--for is for hosts, of the tool pipelock-block; proposal bbbb is of cred-proxy-block: leave it out", code: exit.BadInput},
		"aaaa bbbb --for 1h --no-wait":     {says: "proposal bbbb is of cred-proxy-block", code: exit.BadInput}, // and aaaa is left alone
		"aaaa --for -1h":                   {says: "give a duration such as 2h", code: exit.BadInput},
		"aaaa --for 1h --edit":             {says: "--edit and --for", code: exit.BadInput},
		"cccc":                             {says: "give it with --secret-file FILE, or - for stdin", code: exit.BadInput},
		"cccc --note x":                    {tty: true, question: "Approve cccc for bottle dev?Secret for bottle dev (allow a.example):", want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-cccc", Notes: "x", Secret: "typed"}}, out: "cccc: approved, bottle dev: allow a.example\n"},
		"cccc --secret-file -":             {want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-cccc", Secret: "from -"}}, out: "cccc: approved, bottle dev: allow a.example\n"},
		"aaaa --secret-file -":             {says: "--secret-file is of the tool secret-request", code: exit.BadInput},
		"dddd":                             {says: "proposal dddd can't be approved: the directory is read-only", code: exit.Failed},
		"eeee":                             {says: "proposal eeee does not wait any more: applying", code: exit.Failed},
		"zzzz":                             {says: `there is no proposal "zzzz"`, code: exit.Failed},
		"":                                 {says: "name a proposal", code: exit.Failed},
		"aaaa bbbb":                        {says: "the token goes to b.example", want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa"}}, out: "aaaa: approved, bottle dev: allow a.example\n", code: exit.Failed},
		"aaaa --note gone":                 {desk: desk{gone: errors.New("no controller runs")}, says: "no controller runs", code: exit.Failed},
		"aaaa --note fails":                {desk: desk{fails: errors.New("it was taken back")}, says: "it was taken back", code: exit.Failed, want: []reconciler.DecisionRequest{{Approve: true, Digest: "digest-aaaa", Notes: "fails"}}},
		"aaaa --allow-new-upstream --note": {says: "flag needs an argument", code: exit.Failed},
	} {
		d := c.desk
		d.reviews = []reconciler.Review{host, routes, secret, blocked, done}
		got := execute(t, &d, args, c.tty, func(o *Options) { o.ReadSecret = func(path string) (string, error) { return "from " + path, nil } })
		if exit.Code(got.err, false) != c.code || got.err != nil && (c.says == "" || !strings.Contains(got.err.Error(), c.says)) {
			t.Errorf("%q: %v (code %d), want %q (code %d)", args, got.err, exit.Code(got.err, false), c.says, c.code)
		}
		if diff := cmp.Diff(c.want, d.requests); diff != "" || got.out != c.out {
			t.Errorf("%q prints %q, want %q; decides (-want +got):\n%s", args, got.out, c.out, diff)
		}
		question := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllString(got.question, "TIME")
		if question != c.question || c.tty != strings.Contains(got.errs, "  +a.example\n") || c.tty != strings.Contains(got.errs, "aaaa: waiting for dev\n") && c.tty && strings.HasPrefix(args, "aaaa") {
			t.Errorf("%q asks %q and shows %q", args, question, got.errs)
		}
	}
}

// TestRefusedByPerson: who says no to the question has decided nothing.
func TestRefusedByPerson(t *testing.T) {
	d := &desk{reviews: []reconciler.Review{review("aaaa", queue.PipelockBlock)}}
	no := errors.New("the answer was not yes")
	got := execute(t, d, "aaaa", true, func(o *Options) { o.Confirm = func(string) error { return no } })
	if !errors.Is(got.err, no) || len(d.decided) > 0 {
		t.Errorf("%v, %q", got.err, d.decided)
	}
}

// TestEdit: what is saved is approved, what is wrong is shown again, and nothing is lost.
func TestEdit(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	invalid := func(r reconciler.DecisionRequest) error {
		if strings.Contains(*r.Edited, "bad") {
			return fmt.Errorf("%w: dev.yaml:1: unknown field\x1b bad\nand more", reconciler.ErrDecision)
		}
		return nil
	}
	for name, c := range map[string]struct {
		saves  []string // by the editor, one after the other; KEEP is what was in the file
		refuse func(reconciler.DecisionRequest) error
		fails  error  // of the editor
		want   string // what is approved
		says   string
		kept   string
		shows  string // in the last file that was edited
	}{
		"changed":            {saves: []string{"a: 2\n# mine\n"}, want: "a: 2\n# mine\n", shows: "#bottled: /m/dev.yaml with what the agent"},
		"with remarks":       {saves: []string{"KEEPa: 2\n"}, want: "spec: {a: 1}\n# mine\na: 2\n"},
		"unchanged":          {saves: []string{"KEEP"}, says: "the file was not changed"},
		"empty":              {saves: []string{"#bottled: x\n\n"}, says: "saved empty"},
		"corrected":          {saves: []string{"bad: 1\n", "good: 1\n"}, refuse: invalid, want: "good: 1\n", shows: "#bottled: It was not taken:\n#bottled:   not decided: dev.yaml:1: unknown field\\x1b bad\n#bottled:   and more\nbad: 1\n"},
		"not corrected":      {saves: []string{"bad: 1\n", "KEEP"}, refuse: invalid, says: "the file was not corrected: not decided: dev.yaml:1", kept: "bad: 1\n"},
		"given up":           {saves: []string{"bad: 1\n", ""}, refuse: invalid, says: "saved empty"},
		"the editor fails":   {fails: errors.New("no vi"), says: "no vi"},
		"the proposal moved": {saves: []string{"a: 2\n"}, refuse: func(reconciler.DecisionRequest) error { return errors.New("gone") }, says: "gone", kept: "a: 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{reviews: []reconciler.Review{review("aaaa", queue.PipelockBlock)}, refuse: c.refuse}
			shown := ""
			got := execute(t, d, "aaaa --edit", true, func(o *Options) {
				o.Edit = func(_ context.Context, name string, content []byte) ([]byte, error) {
					if shown = string(content); name != "dev.yaml" || len(c.saves) == 0 {
						return nil, errors.Join(c.fails, fmt.Errorf("edit %s", name))
					}
					saved := strings.ReplaceAll(c.saves[0], "KEEP", shown)
					c.saves = c.saves[1:]
					return []byte(saved), nil
				}
			})
			if (got.err == nil) != (c.says == "") || got.err != nil && !strings.Contains(got.err.Error(), c.says) || got.question != "" {
				t.Errorf("%v, want %q; asks %q", got.err, c.says, got.question)
			}
			if c.want != "" && (len(d.requests) != 1 || *d.requests[0].Edited != c.want || d.requests[0].Digest != "digest-aaaa") || c.want == "" && len(d.requests) > 0 {
				t.Errorf("decided %+v, want %q", d.requests, c.want)
			}
			if !strings.Contains(shown, c.shows) {
				t.Errorf("the editor shows %q, want %q", shown, c.shows)
			}
			checkKept(t, got.err, c.kept)
		})
	}
}

// checkKept reads the file that an error names.
func checkKept(t *testing.T, err error, want string) {
	t.Helper()
	_, path, kept := strings.Cut(fmt.Sprint(err), "\nWhat you wrote is in ")
	if !kept {
		if want != "" {
			t.Errorf("%v: nothing was kept", err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != want {
		t.Errorf("kept %q, %v; want %q", text, err, want)
	}
}
