package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
)

// TestFloodDoesNotEraseTheAuditLog sends 10,000 refused requests (42,000 at night) as fast as it can, and again with as many hosts,
// kills the controller in between, and has pipelock replaced. The first decision, the last one and how many they were are on record.
func TestFloodDoesNotEraseTheAuditLog(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	tools := t.TempDir()
	harness.CopyAttacker(t, filepath.Join(tools, "attacker"), 0o755)
	manifest := func(more string) string {
		return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: one}
spec:
  egress: {allowlist: [docs.demo.example]%s}
  agent: {image: %s, command: [agent], mounts: [{source: %s, target: /tools, readOnly: true}]}
`, more, harness.AgentImage, tools)
	}
	e.Write("one.yaml", manifest(""))
	c := e.Controller().Ready()
	settledReady(t, e, "one")
	flood := func(n uint64, host string) time.Duration {
		t.Helper()
		began := time.Now()
		out := e.Docker("exec", e.Name(state.Agent, "one"), "/tools/attacker", "pipeline", "pipelock:8888", fmt.Sprint(n), host)
		if !strings.Contains(out, `"granted":true`) {
			t.Fatalf("the flood itself does not work: %s", out)
		}
		return time.Since(began)
	}
	many := map[bool]uint64{false: 10_000, true: 42_000}[nightly()]
	flood(1, "first.example")
	took := flood(many, "equal.example")
	c.Signal(syscall.SIGKILL)
	c.Wait(wellWithin)
	flood(many, "%d.distinct.example")
	e.Controller().Ready()
	settledReady(t, e, "one")
	e.Eventually(wellWithin, "the distinct hosts are counted", func() (bool, string) {
		log := readAuditLog(t, e, "one")
		return log.distinct() == many, fmt.Sprint(log.decided)
	})
	flood(1, "last.example")
	pipelock := "name=" + e.Name(state.Pipelock, "one")
	before := owned(e, "--filter", pipelock)
	e.Write("one.yaml", manifest(", privateCIDRs: [10.99.0.0/16]"))
	e.Eventually(wellWithin, "pipelock is replaced", func() (bool, string) { id := owned(e, "--filter", pipelock); return id != "" && id != before, id })
	settledReady(t, e, "one")
	flood(1, "replaced.example")

	var log auditLog
	e.Eventually(2*time.Minute, "the last decision is on record", func() (bool, string) {
		log = readAuditLog(t, e, "one")
		return log.decided["replaced.example"] == 1, fmt.Sprint(log.decided)
	})
	if log.first != "first.example" || log.decided["last.example"] != 1 || log.decided["equal.example"] != many || log.distinct() != many || log.missing != 0 {
		t.Errorf("first %s, %d of the last one, %d equal, %d distinct, %d missing", log.first, log.decided["last.example"],
			log.decided["equal.example"], log.distinct(), log.missing)
	}
	verifyAuditLog(t, e, "one")
	t.Logf("%d requests in %s; %d records, %d bytes", many, took.Round(time.Millisecond), log.records, log.bytes)
	if log.records > 1000 {
		t.Errorf("%d records", log.records)
	}
}

// verifyAuditLog has bottled verify the audit logs, while a controller writes to them: as they are, after they were archived, and with each
// of some bytes changed.
func verifyAuditLog(t *testing.T, e *harness.Env, slug string) {
	t.Helper()
	e.Expect(0, "audit", "--verify")
	e.Expect(0, "audit", "archive")
	archives, err := filepath.Glob(filepath.Join(e.StateDir, "audit", slug+".jsonl.*"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %q, %v", archives, err)
	}
	e.Expect(0, "audit", "--verify")
	original, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{10, len(original) / 2, len(original) - 10} {
		changed := bytes.Clone(original)
		changed[at] ^= 1
		if err := os.WriteFile(archives[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := e.Expect(1, "audit", "--verify"); !strings.Contains(r.Stdout, archives[0]+":") {
			t.Errorf("byte %d was changed: %s", at, r.Stdout)
		}
	}
	if err := os.WriteFile(archives[0], original, 0o600); err != nil {
		t.Fatal(err)
	}
}

// auditLog is what an audit log says of hosts.
type auditLog struct {
	first          string
	decided        map[string]uint64 // by host; with "" those that are only counted
	missing        uint64
	records, bytes int
}

func (l auditLog) distinct() uint64 {
	n := l.decided[""]
	for host, count := range l.decided {
		if strings.HasSuffix(host, ".distinct.example") {
			n += count
		}
	}
	return n
}

func readAuditLog(t *testing.T, e *harness.Env, slug string) auditLog {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.StateDir, "audit", slug+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	log := auditLog{decided: map[string]uint64{}, bytes: len(data)}
	seen := map[audit.Position]bool{}
	for line := range strings.Lines(string(data)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		log.records++
		if r.Kind == audit.KindChange {
			continue
		}
		if r.Gap != nil {
			log.missing++
			t.Logf("a gap: %s", line)
			continue
		}
		if at := (audit.Position{Run: r.Run, Number: r.Number}); seen[at] {
			t.Errorf("recorded twice: %s", line)
		} else {
			seen[at] = true
		}
		if log.first == "" {
			log.first = string(r.Host)
		}
		log.decided[string(r.Host)] += max(1, r.Count)
	}
	return log
}
