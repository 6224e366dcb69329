package collect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
)

// TestCollectorMissesNothing has a sidecar that writes all the time, mixes decisions with other lines, and loses the engine.
func TestCollectorMissesNothing(t *testing.T) {
	collecting(t, func(b *auditBench) {
		for i := range 3000 {
			b.engine.deny("p1", fmt.Sprint(i))
			b.engine.write("p1", "something else")
			if i == 1000 {
				b.engine.set(func() { b.engine.down = true })
			}
			if i == 1500 {
				b.engine.set(func() { b.engine.down = false })
			}
			b.pass(40 * time.Millisecond)
		}
		b.pass(2 * maxPoll)
		b.wantHosts("dev", 3000)
	})
}

// TestCollectorIsKilled repeatedly, and others continue where it was.
func TestCollectorIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		for i := range 100 {
			b.engine.deny("p1", fmt.Sprint(i))
			c := b.newCollector()
			ctx, kill := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			if err := c.Collect(ctx); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			kill()
			if i%3 == 0 {
				if err := os.RemoveAll(filepath.Join(b.settings.AuditDir(), "dev.positions")); err != nil { // it was killed before
					t.Fatal(err)
				}
			}
		}
		if err := b.newCollector().Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wantHosts("dev", 100)
	})
}

// TestDecisionBehindAFlood of lines that are not numbered, in pieces as small as can be: a sidecar that was taken over can't
// hide with them what it decided before.
func TestDecisionBehindAFlood(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.pass(10 * maxPoll)
		b.engine.deny("p1", "second.example")
		for range 4900 {
			b.engine.write("p1", "")
		}
		b.pass(2 * maxPoll)
		b.wantHosts("dev", 2)
	})
}

// TestRotatedAwayBetweenReads is counted.
func TestRotatedAwayBetweenReads(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.pass(10 * maxPoll)
		for i := range 6000 {
			b.engine.deny("p1", fmt.Sprint(i))
		}
		b.pass(2 * maxPoll)
		all, hosts := b.records("dev")
		missing := uint64(0)
		for _, r := range all {
			if r.Gap != nil {
				missing += r.Lost + r.Dropped[audit.KindEgress]
			}
		}
		if got := uint64(len(hosts)) + missing; got != 6001 || hosts[0] != "first.example" || all[1].Gap == nil || all[1].Lost != 1000 {
			b.Errorf("%d recorded or counted; the second record: %+v", got, all[1].Gap)
		}
	})
}

// TestSidecarThatNeverStopsWriting holds up neither other bottles nor the removal of its own container.
func TestSidecarThatNeverStopsWriting(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.engine.set(func() { b.engine.containers["p1"].flood = []byte(`"number": ` + strings.Repeat("x", 100<<10)) })
		b.engine.addPipelock("p2", "other")
		b.collector.Wake()
		for i := range 100 {
			b.engine.deny("p2", fmt.Sprint(i))
			b.pass(time.Second)
		}
		b.pass(2 * maxPoll)
		b.wantHosts("other", 100)
		began := time.Now()
		b.collector.Drain(b.Context(), "dev", state.Pipelock, "p1")
		if took := time.Since(began); took > drainTimeout+time.Second {
			b.Errorf("the last read took %s", took)
		}
		b.engine.remove("p1")
		b.pass(30 * time.Minute)
		all, hosts := b.records("dev")
		if len(hosts) != 2 || all[0].Host != "first.example" || hosts[1] != "last.example" || len(all) > 20 {
			b.Errorf("%d records, first %+v", len(all), all[0])
		}
		if last := all[len(all)-1]; last.Gap == nil || last.Malformed == 0 {
			b.Errorf("the last record: %+v", last)
		}
	})
}

// TestRemovedWithItsLastDecision stops a container, reads its log to the end, and only then removes it.
func TestRemovedWithItsLastDecision(t *testing.T) {
	test := func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.engine.forgetCalls()
		b.collector.Drain(b.Context(), "dev", state.Pipelock, "p1")
		if err := b.engine.RemoveContainer(b.Context(), "p1"); err != nil {
			b.Fatal(err)
		}
		if got := b.engine.forgetCalls(); got[0] != "stop" || got[len(got)-1] != "remove" || len(got) < 3 {
			b.Errorf("calls: %v", got)
		}
		b.engine.addPipelock("p2", "dev")
		b.collector.Wake()
		b.pass(2 * maxPoll)
		b.wantHosts("dev", 2)
	}
	t.Run("controller", func(t *testing.T) {
		collecting(t, func(b *auditBench) {
			synctest.Wait()
			test(b)
		})
	})
	t.Run("one pass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newAuditBench(t)
			b.collector = b.newCollector()
			test(b)
		})
	})
}

// TestRemovedByOthers is a gap of nobody knows how many.
func TestRemovedByOthers(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.pass(maxPoll)
		b.engine.deny("p1", "second.example")
		b.engine.remove("p1")
		b.pass(2 * maxPoll)
		all, _ := b.records("dev")
		if last := all[len(all)-1]; last.Gap == nil || !strings.Contains(last.Why, "removed") || last.Number != 1 {
			b.Errorf("the last record: %+v", last)
		}
	})
}

// TestHangingEngine does not keep a container from being removed, nor a pass.
func TestHangingEngine(t *testing.T) {
	collecting(t, func(b *auditBench) {
		synctest.Wait()
		b.engine.set(func() { b.engine.hang = true })
		b.pass(maxPoll) // the watch hangs, too
		began := time.Now()
		b.collector.Drain(b.Context(), "dev", state.Pipelock, "p1")
		if took := time.Since(began); took > drainTimeout {
			b.Errorf("the last read took %s", took)
		}
		if all, _ := b.records("dev"); len(all) != 1 || all[0].Gap == nil {
			b.Errorf("%+v", all)
		}
	})
}

// TestPlantedAuditLog is reported, once, and written when it is gone.
func TestPlantedAuditLog(t *testing.T) {
	collecting(t, func(b *auditBench) {
		target := filepath.Join(b.settings.StateDir, "target")
		path := filepath.Join(b.settings.AuditDir(), "other.jsonl")
		if err := os.MkdirAll(b.settings.AuditDir(), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			b.Fatal(err)
		}
		b.engine.addPipelock("p2", "other")
		b.collector.Wake()
		b.engine.deny("p2", "first.example")
		b.pass(10 * maxPoll)
		if n := strings.Count(b.log.String(), "\n"); n != 1 || !strings.Contains(b.log.String(), "too many levels of symbolic links") {
			b.Errorf("the log:\n%s", b.log.String())
		}
		if _, err := os.Lstat(target); err == nil {
			b.Error("the link was followed")
		}
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
		b.pass(2 * maxPoll)
		b.wantHosts("other", 1)
	})
}

// TestIdleCollector counts what it asks of the engine in five minutes.
func TestIdleCollector(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.engine.deny("p1", "first.example")
		b.pass(5 * time.Minute)
		b.engine.forgetCalls()
		b.pass(5 * time.Minute)
		if n := len(b.engine.forgetCalls()); n > 12 {
			b.Errorf("%d reads", n)
		}
	})
}

// TestLook: what an idle sidecar refuses is on record at once when somebody begins to look, and seconds later while he does. Many outputs
// are read less often, and nobody's look costs nothing afterwards.
func TestLook(t *testing.T) {
	collecting(t, func(b *auditBench) {
		b.pass(5 * time.Minute)
		b.engine.deny("p1", "before.example")
		stop := b.collector.Look()
		b.pass(100 * time.Millisecond)
		b.wantHosts("dev", 1)
		b.pass(time.Minute)
		b.engine.deny("p1", "meanwhile.example")
		b.pass(2 * lookPoll)
		b.wantHosts("dev", 2)
		second := b.collector.Look()
		stop()
		stop()
		b.pass(time.Minute)
		b.engine.deny("p1", "second.example")
		b.pass(2 * lookPoll)
		b.wantHosts("dev", 3)
		second()
		b.pass(5 * time.Minute)
		b.engine.forgetCalls()
		b.pass(5 * time.Minute)
		if n := len(b.engine.forgetCalls()); n > 12 {
			b.Errorf("%d reads when nobody looks", n)
		}
		for i := range 200 {
			b.engine.addPipelock(fmt.Sprintf("more%d", i), "dev")
		}
		b.collector.Wake()
		b.pass(time.Minute)
		defer b.collector.Look()()
		b.pass(10 * time.Second)
		b.engine.forgetCalls()
		b.pass(time.Minute)
		if n := len(b.engine.forgetCalls()); n > 4000 || n < 1000 {
			b.Errorf("%d reads a minute of 200 outputs", n)
		}
	})
	(*Collector)(nil).Look()()
}
