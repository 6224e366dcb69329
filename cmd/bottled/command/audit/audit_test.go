package audit

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/state/audit"
)

func factory() *command.Factory { return &command.Factory{Service: &service.Service{}} }

func TestAudit(t *testing.T) {
	commandtest.InUTC(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := map[string]audit.Record{
		`{"kind":"decision","action":"approved","tool":"pipelock-block","who":"anna\u001b","notes":"needed","hash":"h"}`:      {Time: at, Bottle: "dev", Kind: audit.KindDecision},
		`{"kind":"change","action":"create","object":"c1","cause":"it is missing","result":"failed","error":"no","who":"bo"}`: {Time: at, Bottle: "dev", Kind: audit.KindChange},
		`{"kind":"egress"}`: {Time: at, Bottle: "dev", Kind: audit.KindEgress, Component: "pipelock", Statement: &audit.Statement{Action: "deny", Host: "a.test"}},
	}
	for line, want := range map[string]string{
		`{"kind":"decision","action":"approved","tool":"pipelock-block","who":"anna\u001b","notes":"needed","hash":"h"}`:      `2026-01-02 03:04:05  dev         decision    approved pipelock-block by anna\x1b "needed"`,
		`{"kind":"change","action":"create","object":"c1","cause":"it is missing","result":"failed","error":"no","who":"bo"}`: `2026-01-02 03:04:05  dev         change      create c1 by bo (it is missing) failed: no`,
		`{"kind":"egress"}`: `2026-01-02 03:04:05  dev         egress      pipelock    DENY   a.test`,
	} {
		for format, want := range map[string]string{"table": want, "json": line} {
			var out bytes.Buffer
			var got service.AuditOptions
			err := commandtest.Execute(t, New(factory(), func(o *Options) error {
				o.Out = terminal.OnWriter(&out, false, false)
				o.Audit = func(s service.AuditOptions, show func(audit.Record, []byte) error) error {
					got = s
					return show(lines[line], []byte(line))
				}
				return run(t.Context(), o)
			}), "dev --kind change,decision --since 2026-01-02T03:04:05Z -o "+format)
			selected := service.AuditOptions{Bottles: []string{"dev"}, Kinds: []string{"change", "decision"}, Since: at}
			if diff := cmp.Diff(selected, got) + cmp.Diff(want+"\n", out.String()); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		}
	}
}

func TestVerify(t *testing.T) {
	commandtest.InUTC(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	changed := audit.Verification{Findings: []audit.Finding{{File: "audit/dev.jsonl", Line: 8, What: "line changed"}}, Notes: []audit.Finding{{File: "a", What: "not chained"}}}
	for _, c := range []struct {
		args, want string
		found      audit.Verification
		options    service.VerifyOptions
		code       int
	}{
		{args: "--verify", found: audit.Verification{Records: 7, Files: 2}, want: "7 records in 2 files are as they were written; no checkpoint was checked, since no --key was given\n"},
		{args: "--verify", found: changed, want: "audit/dev.jsonl:8: line changed\nnote: a: not chained\n", code: 1},
		{args: "--verify -o json", found: changed, want: `{"files":0,"records":0,"findings":[{"file":"audit/dev.jsonl","line":8,"what":"line changed"}],"notes":[{"file":"a","what":"not chained"}]}` + "\n", code: 1},
		{
			args: "--verify dev --key k --archive x --archive y", found: audit.Verification{Records: 7, Files: 2, Signed: at},
			options: service.VerifyOptions{Bottles: []string{"dev"}, Key: "k", Archives: []string{"x", "y"}},
			want:    "7 records in 2 files are as they were written; signed until 2026-01-02 03:04:05\n",
		},
	} {
		var out bytes.Buffer
		var got service.VerifyOptions
		err := commandtest.Execute(t, New(factory(), func(o *Options) error {
			o.Out = terminal.OnWriter(&out, false, false)
			o.VerifyAudit = func(v service.VerifyOptions) (audit.Verification, error) {
				if got = v; len(v.Bottles) == 0 {
					got.Bottles = nil
				}
				return c.found, nil
			}
			return run(t.Context(), o)
		}), c.args)
		if diff := cmp.Diff(c.options, got) + cmp.Diff(c.want, out.String()); diff != "" || exit.Code(err, false) != c.code {
			t.Errorf("%s: %v (-want +got):\n%s", c.args, err, diff)
		}
	}
}

func TestBadUsage(t *testing.T) {
	for _, args := range []string{"--kind nonsense", "--key k", "--archive a", "--verify --kind gap", "-o yaml"} {
		err := commandtest.Execute(t, New(factory(), func(*Options) error { return nil }), args)
		if exit.Code(err, false) != exit.BadInput || strings.Contains(err.Error(), "unknown flag") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestArchive(t *testing.T) {
	both := []audit.Archived{{Bottle: "dev", File: "audit/dev.jsonl.7", Records: 7}, {File: "audit/heads.9", Records: 9}}
	for _, c := range []struct {
		args, want string
		archived   []audit.Archived
		bottles    []string
	}{
		{"", "archived dev, up to record 7: audit/dev.jsonl.7\narchived heads, up to record 9: audit/heads.9\n", both, nil},
		{"dev other", "", nil, []string{"dev", "other"}},
		{"-o json", `{"bottle":"dev","file":"audit/dev.jsonl.7","records":7}` + "\n" + `{"file":"audit/heads.9","records":9}` + "\n", both, nil},
	} {
		var out, errs bytes.Buffer
		var got []string
		err := commandtest.Execute(t, NewArchive(factory(), func(o *ArchiveOptions) error {
			o.Out, o.Errs = terminal.OnWriter(&out, false, false), terminal.OnWriter(&errs, false, false)
			o.Archive = func(bottles []string, show func(audit.Archived) error) error {
				got = append(got, bottles...)
				for _, a := range c.archived {
					if err := show(a); err != nil {
						return err
					}
				}
				return nil
			}
			return runArchive(t.Context(), o)
		}), c.args)
		if diff := cmp.Diff(c.bottles, got) + cmp.Diff(c.want, out.String()); diff != "" || err != nil || (errs.Len() > 0) != (c.want == "") {
			t.Errorf("%s: %v %s (-want +got):\n%s", c.args, err, &errs, diff)
		}
	}
}
