package service

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/audit"
)

// changesOf returns the records of bottled's own changes of the bottle one.
func changesOf(t *testing.T, s *Service) (changes []audit.Change) {
	t.Helper()
	if err := s.Audit(AuditOptions{Bottles: []string{"one"}, Kinds: []string{audit.KindChange}}, func(_ audit.Record, line []byte) error {
		var c audit.Change
		err := json.Unmarshal(line, &c)
		changes = append(changes, c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return changes
}

func verified(t *testing.T, s *Service, o VerifyOptions) audit.Verification {
	t.Helper()
	v, err := s.VerifyAudit(o)
	if err != nil || len(v.Findings) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	return v
}

// TestCommandsAreOnRecord makes a bottle with a pass, runs sessions in it, archives its log, and deletes it: who did so is in its audit log.
func TestCommandsAreOnRecord(t *testing.T) {
	s, log, _, dir := newService(t)
	reconcileOnce(t, s, plan.PruneGuarded, dir)
	made := changesOf(t, s)
	if !slices.ContainsFunc(made, func(c audit.Change) bool { return c.Action == "create" && c.Object == "p-agent-one" }) {
		t.Errorf("the pass: %+v", made)
	}
	if _, err := s.Session(t.Context(), "one", []string{"sh", "-c", "my secret"}, func() (Attachment, func()) { return ending{}, func() {} }); err != nil {
		t.Fatal(err)
	}
	session := changesOf(t, s)[len(made):]
	if len(session) != 2 || session[0].Action != audit.ActionSession || session[1].Action != audit.ActionSessionEnd ||
		session[1].Result != audit.ChangeDone || !strings.Contains(session[1].Cause, "exit code 0") {
		t.Errorf("the session: %+v", session)
	}
	var archived []string
	for range 2 { // there is nothing new the second time
		if err := s.ArchiveAudit(nil, func(a audit.Archived) error { archived = append(archived, filepath.Base(a.File)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(archived) != 2 || archived[0] != fmt.Sprintf("one.jsonl.%d", len(made)+2) || !strings.HasPrefix(archived[1], "heads.") {
		t.Errorf("archived %q", archived)
	}
	if _, err := s.Delete(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	after := changesOf(t, s)
	if after[0].Action != audit.ActionArchive || !slices.ContainsFunc(after, func(c audit.Change) bool { return c.Action == "remove" && c.Object == "p-agent-one" }) {
		t.Errorf("archived and deleted: %+v", after)
	}
	for _, c := range slices.Concat(made, session, after) {
		if c.Who != userName() {
			t.Errorf("%+v is not by %s", c, userName())
		}
		if strings.Contains(fmt.Sprint(c), "secret") {
			t.Errorf("%+v has what the session was told", c)
		}
	}
	if v := verified(t, s, VerifyOptions{}); v.Records == 0 || len(v.Notes) > 0 {
		t.Errorf("%+v", v)
	}
	if strings.Contains(log.String(), "can't record") {
		t.Errorf("log: %s", log)
	}
	if err := s.ArchiveAudit([]string{"none"}, nil); err == nil || !strings.Contains(err.Error(), "bottle none has no audit log in ") {
		t.Errorf("%v", err)
	}
}

// TestFailedStepIsOnRecord of a pass.
func TestFailedStepIsOnRecord(t *testing.T) {
	s, _, _, dir := newService(t)
	missing := strings.Replace(agentManifest, "agent:1", "none:1", 1)
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(missing), 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if result, err := s.Reconcile(t.Context(), snapshot, pass.Options{}, nil); err != nil || len(result.Failed) != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	if all := changesOf(t, s); !slices.ContainsFunc(all, func(c audit.Change) bool {
		return c.Result == audit.ChangeFailed && c.Error != "" && c.Object == "none:1"
	}) {
		t.Errorf("%+v", all)
	}
	verified(t, s, VerifyOptions{})
}

// TestSigning signs what is new every few minutes, and at the end what was recorded until then.
func TestSigning(t *testing.T) {
	s, log := auditService(t)
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		dir := settings.AuditDir()
		changes := &audit.Changes{Dir: dir}
		record := func() {
			if err := changes.Record(audit.Change{Bottle: "one", Action: "create"}); err != nil {
				t.Fatal(err)
			}
			if err := changes.Commit("one"); err != nil {
				t.Fatal(err)
			}
		}
		signed := func() time.Time {
			v, err := audit.Verify(audit.VerifyOptions{Dir: dir, Key: public})
			if err != nil {
				t.Fatal(err)
			}
			return v.Signed
		}
		ctx, end := context.WithCancel(t.Context())
		last := s.signAudit(ctx, dir, private)
		synctest.Wait()
		if !signed().IsZero() {
			t.Error("nothing was signed")
		}
		for range 3 {
			record()
			<-time.After(signInterval + time.Second)
			synctest.Wait()
			if age := time.Since(signed()); age > signInterval {
				t.Errorf("signed %s ago", age)
			}
		}
		before := signed()
		<-time.After(time.Hour)
		if at := signed(); !at.Equal(before) {
			t.Errorf("signed again at %v, with nothing new", at)
		}
		record()
		end()
		if err := last(); err != nil {
			t.Error(err)
		}
		if age := time.Since(signed()); age > time.Second {
			t.Errorf("at the end: signed %s ago", age)
		}
		if v, err := audit.Verify(audit.VerifyOptions{Dir: dir, Key: public}); err != nil || len(v.Findings) > 0 {
			t.Errorf("%v, %v", v.Findings, err)
		}
	})
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
	if err := s.signAudit(t.Context(), "/no/such/directory", nil)(); err != nil {
		t.Errorf("without a key: %v", err)
	}
}
