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
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.run()
		defer b.stop()
		for i := range 3000 {
			b.engine.deny("p1", fmt.Sprint(i))
			b.engine.write("p1", "something else")
			if i == 1000 {
				b.engine.set(func() { b.engine.down = true })
			}
			if i == 1500 {
				b.engine.set(func() { b.engine.down = false })
			}
			time.Sleep(40 * time.Millisecond)
		}
		time.Sleep(2 * maxPoll)
		b.wantHosts("dev", 3000)
	})
}

// TestCollectorIsKilled repeatedly, and others continue where it was.
func TestCollectorIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		for i := range 100 {
			b.engine.deny("p1", fmt.Sprint(i))
			c := b.collector()
			ctx, kill := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
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
		if err := b.collector().Collect(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.wantHosts("dev", 100)
	})
}

// TestDecisionBehindAFlood of lines that are not numbered, in pieces as small as can be: a sidecar that was taken over can't
// hide with them what it decided before.
func TestDecisionBehindAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.run()
		defer b.stop()
		b.engine.deny("p1", "first.example")
		time.Sleep(10 * maxPoll)
		b.engine.deny("p1", "second.example")
		for range 4900 {
			b.engine.write("p1", "")
		}
		time.Sleep(2 * maxPoll)
		b.wantHosts("dev", 2)
	})
}

// TestRotatedAwayBetweenReads is counted.
func TestRotatedAwayBetweenReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.run()
		defer b.stop()
		b.engine.deny("p1", "first.example")
		time.Sleep(10 * maxPoll)
		for i := range 6000 {
			b.engine.deny("p1", fmt.Sprint(i))
		}
		time.Sleep(2 * maxPoll)
		all, hosts := b.records("dev")
		missing := uint64(0)
		for _, r := range all {
			if r.Gap != nil {
				missing += r.Lost + r.Dropped[audit.KindEgress]
			}
		}
		if got := uint64(len(hosts)) + missing; got != 6001 || hosts[0] != "first.example" || all[1].Gap == nil || all[1].Lost != 1000 {
			t.Errorf("%d recorded or counted; the second record: %+v", got, all[1].Gap)
		}
	})
}

// TestSidecarThatNeverStopsWriting holds up neither other bottles nor the removal of its own container.
func TestSidecarThatNeverStopsWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.engine.deny("p1", "first.example")
		b.engine.containers["p1"].flood = []byte(`"number": ` + strings.Repeat("x", 100<<10))
		b.engine.add("p2", "other", state.Pipelock)
		c := b.run()
		defer b.stop()
		for i := range 100 {
			b.engine.deny("p2", fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		time.Sleep(2 * maxPoll)
		b.wantHosts("other", 100)
		began := time.Now()
		c.Drain(context.Background(), "dev", state.Pipelock, "p1")
		if took := time.Since(began); took > drainTimeout+time.Second {
			t.Errorf("the last read took %s", took)
		}
		b.engine.remove("p1")
		time.Sleep(30 * time.Minute)
		all, hosts := b.records("dev")
		if len(hosts) != 2 || all[0].Host != "first.example" || hosts[1] != "last.example" || len(all) > 20 {
			t.Errorf("%d records, first %+v", len(all), all[0])
		}
		if last := all[len(all)-1]; last.Gap == nil || last.Malformed == 0 {
			t.Errorf("the last record: %+v", last)
		}
	})
}

// TestRemovedWithItsLastDecision stops a container, reads its log to the end, and only then removes it.
func TestRemovedWithItsLastDecision(t *testing.T) {
	for name, watched := range map[string]bool{"controller": true, "one pass": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newAuditBench(t)
				c := b.collector()
				if watched {
					c = b.run()
					defer b.stop()
					synctest.Wait()
				}
				b.engine.deny("p1", "first.example")
				b.engine.forgetCalls()
				c.Drain(t.Context(), "dev", state.Pipelock, "p1")
				if err := b.engine.RemoveContainer(t.Context(), "p1"); err != nil {
					t.Fatal(err)
				}
				if got := b.engine.forgetCalls(); got[0] != "stop" || got[len(got)-1] != "remove" || len(got) < 3 {
					t.Errorf("calls: %v", got)
				}
				b.engine.add("p2", "dev", state.Pipelock)
				c.Wake()
				time.Sleep(2 * maxPoll)
				b.wantHosts("dev", 2)
			})
		})
	}
}

// TestRemovedByOthers is a gap of nobody knows how many.
func TestRemovedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.run()
		defer b.stop()
		b.engine.deny("p1", "first.example")
		time.Sleep(maxPoll)
		b.engine.deny("p1", "second.example")
		b.engine.remove("p1")
		time.Sleep(2 * maxPoll)
		all, _ := b.records("dev")
		if last := all[len(all)-1]; last.Gap == nil || !strings.Contains(last.Why, "removed") || last.Number != 1 {
			t.Errorf("the last record: %+v", last)
		}
	})
}

// TestHangingEngine does not keep a container from being removed, nor a pass.
func TestHangingEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		c := b.run()
		defer b.stop()
		synctest.Wait()
		b.engine.set(func() { b.engine.hang = true })
		time.Sleep(maxPoll) // the watch hangs, too
		began := time.Now()
		c.Drain(context.Background(), "dev", state.Pipelock, "p1")
		if took := time.Since(began); took > drainTimeout {
			t.Errorf("the last read took %s", took)
		}
		if all, _ := b.records("dev"); len(all) != 1 || all[0].Gap == nil {
			t.Errorf("%+v", all)
		}
	})
}

// TestPlantedAuditLog is reported, once, and written when it is gone.
func TestPlantedAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		target := filepath.Join(b.settings.StateDir, "target")
		path := filepath.Join(b.settings.AuditDir(), "dev.jsonl")
		if err := os.MkdirAll(b.settings.AuditDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		b.run()
		defer b.stop()
		b.engine.deny("p1", "first.example")
		time.Sleep(10 * maxPoll)
		if n := strings.Count(b.log.String(), "\n"); n != 1 || !strings.Contains(b.log.String(), "too many levels of symbolic links") {
			t.Errorf("the log:\n%s", b.log.String())
		}
		if _, err := os.Lstat(target); err == nil {
			t.Error("the link was followed")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * maxPoll)
		b.wantHosts("dev", 1)
	})
}

// TestIdleCollector counts what it asks of the engine in five minutes.
func TestIdleCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAuditBench(t)
		b.run()
		defer b.stop()
		b.engine.deny("p1", "first.example")
		time.Sleep(5 * time.Minute)
		b.engine.forgetCalls()
		time.Sleep(5 * time.Minute)
		if n := len(b.engine.forgetCalls()); n > 12 {
			t.Errorf("%d reads", n)
		}
	})
}
