package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const container = "0123456789abcdef0123"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// output is what a container logged: a line each millisecond.
type output []string

func (o *output) deny(run string, number int, host string) {
	*o = append(*o, fmt.Sprintf(`{"level":"warn","event":"egress","action":"deny","host":%q,"port":443,"reason":"domain not in allowlist","run":%q,"number":%d}`, host, run, number))
}

func denials(n int) (o output) {
	for i := range n {
		o.deny("r1", i+1, fmt.Sprintf("host%d.example", i+1))
	}
	return o
}

func at(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }

// bottle is one audit directory.
type bottle struct {
	*testing.T
	dir    string
	limits Limits
}

func newBottle(t *testing.T) *bottle {
	return &bottle{T: t, dir: filepath.Join(t.TempDir(), "audit"), limits: DefaultLimits}
}

func (b *bottle) open() *Trail {
	b.Helper()
	trail, err := OpenTrail(b.dir, "dev", b.limits)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { trail.Close() })
	return trail
}

// take gives the trail all lines that the log does not account for, as a reader of an engine's log does.
func (b *bottle) take(trail *Trail, lines output) error {
	b.Helper()
	reached := trail.Reached(container)
	for i, line := range lines {
		if at(i).Before(reached) {
			continue
		}
		if err := trail.Take(container, "pipelock", at(i), []byte(line)); err != nil {
			return err
		}
	}
	return trail.Settle(container, false)
}

func (b *bottle) mustTake(trail *Trail, lines output) {
	b.Helper()
	if err := b.take(trail, lines); err != nil {
		b.Fatal(err)
	}
}

func (b *bottle) records(paths ...string) []Record {
	b.Helper()
	if paths == nil {
		paths = []string{filepath.Join(b.dir, "dev.jsonl")}
	}
	var all []Record
	for _, path := range paths {
		for line := range strings.Lines(read(b.T, path)) {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				continue // cut short
			}
			all = append(all, r)
		}
	}
	return all
}

// hosts are those of the records, and fails for one that is there twice.
func (b *bottle) hosts(records []Record) []string {
	b.Helper()
	var hosts []string
	seen := map[Text]bool{}
	for _, r := range records {
		if r.Kind != KindEgress {
			continue
		}
		if seen[r.Host] {
			b.Errorf("%s is on record twice", r.Host)
		}
		seen[r.Host] = true
		hosts = append(hosts, string(r.Host))
	}
	return hosts
}

func gaps(records []Record) (sum Gap) {
	sum.Dropped = map[string]uint64{}
	for _, r := range records {
		if r.Kind == KindGap {
			sum.Lost += r.Lost
			sum.Malformed += r.Malformed
			for kind, n := range r.Dropped {
				sum.Dropped[kind] += n
			}
		}
	}
	return sum
}

func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBottle(t)
		b.mustTake(b.open(), denials(1))
		want := `{"time":"2000-01-01T00:00:00Z","bottle":"dev","kind":"egress","component":"pipelock","container":"0123456789ab",` +
			`"logged":"2026-01-02T03:04:05Z","run":"r1","number":1,"action":"deny","host":"host1.example","port":443,"reason":"domain not in allowlist"}` + "\n"
		if got := read(t, filepath.Join(b.dir, "dev.jsonl")); got != want {
			t.Errorf("got  %swant %s", got, want)
		}
	})
}

// TestFloodKeepsTheEarlierRecords: what comes too fast, or more than there is room for, is counted.
func TestFloodKeepsTheEarlierRecords(t *testing.T) {
	const flood = 42000
	for name, limits := range map[string]Limits{
		"too fast":  {Bytes: 64 << 20, Gaps: 1 << 20, Rate: 2, Burst: 1000},
		"too many":  {Bytes: 256 << 10, Gaps: 1 << 20, Rate: 1e9, Burst: 1e9},
		"even gaps": {Bytes: 256 << 10, Gaps: 1000, Rate: 1e9, Burst: 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBottle(t)
				b.limits = limits
				trail := b.open()
				for i, line := range denials(flood) {
					if err := trail.Take(container, "pipelock", at(i), []byte(line)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second / 10000) // over 4.2 s
				}
				time.Sleep(gapDelay)
				if err := trail.Settle(container, false); err != nil {
					t.Fatal(err)
				}
				got := b.records()
				hosts := b.hosts(got)
				if len(hosts) < 500 || hosts[0] != "host1.example" || hosts[499] != "host500.example" {
					t.Errorf("%d records; want the first ones", len(hosts))
				}
				if all := uint64(len(hosts)) + gaps(got).Dropped[KindEgress]; all != flood {
					t.Errorf("%d recorded or counted; want %d", all, flood)
				}
				if size := len(read(t, filepath.Join(b.dir, "dev.jsonl"))); int64(size) > limits.Bytes+limits.Gaps+2*lineBytes {
					t.Errorf("the log has %d bytes", size)
				}
			})
		})
	}
}

// TestLogWithoutRoomForGaps counts on, and says so when the log was archived.
func TestLogWithoutRoomForGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBottle(t)
		b.limits = Limits{Bytes: 1, Gaps: 1, Rate: 1e9, Burst: 1e9}
		trail, lines := b.open(), denials(100)
		for i := range 99 {
			b.mustTake(trail, lines[:i+1])
			time.Sleep(time.Hour)
		}
		if got := len(b.records()); got != 1 {
			t.Errorf("%d records; want the one that there was room for", got)
		}
		if got := trail.Full(); len(got) != 1 || got[0] != "pipelock" {
			t.Errorf("full: %v", got)
		}
		if err := trail.Save(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(b.dir, "dev.jsonl")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		b.limits = DefaultLimits // as a later bottled may have
		b.mustTake(b.open(), lines)
		got := b.records()
		if hosts := b.hosts(got); len(hosts) != 99 || gaps(got).Lost != 0 {
			t.Errorf("%d records after that, %+v", len(hosts), gaps(got))
		}
	})
}

// TestFloodOfOneSidecar leaves room for the others.
func TestFloodOfOneSidecar(t *testing.T) {
	b := newBottle(t)
	b.limits = Limits{Bytes: 100 << 10, Gaps: 1 << 20, Rate: 1, Burst: 2000}
	trail := b.open()
	b.mustTake(trail, denials(42000))
	const used = `{"event":"request","phase":"begin","route":"/api/","run":"r2","number":1}`
	if err := trail.Take("another", "cred-proxy", start, []byte(used)); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if last := got[len(got)-1]; last.Kind != KindRequest || last.Component != "cred-proxy" || last.Route != "/api/" {
		t.Errorf("the last record: %+v", last)
	}
}

// TestTakenOverSidecar says what it likes.
func TestTakenOverSidecar(t *testing.T) {
	b := newBottle(t)
	trail := b.open()
	var lines output
	lines.deny("r1", 1, "honest.example")
	lines = append(lines,
		`{"event":"egress","bottle":"other","component":"cred-proxy","container":"ffffffffffff","kind":"decision","time":"1999-01-01T00:00:00Z","who":"alice","logged":"1999-01-01T00:00:00Z","action":"approved","run":"r1","number":2}`,
		`{"event":"decision","action":"approved","who":"alice","run":"r1","number":3}`,
		`{"event":"gap","lost":7,"run":"r1","number":3}`,
		`{"event":"egress","run":"r1","number":`+strings.Repeat("9", 40)+`}`,
		`{"event":"egress","run":"r1","number":-1}`,
		`{"event":"egress","run":"r1","number":3,"host":"`+strings.Repeat("a", lineBytes)+`"}`,
		`{"event":"egress","run":"r1","number":3,"host":["a"]}`,
		`{"event":"egress","number":3}`,
		`"number": garbage`+"\x00\x1b[2J",
		`{"event":"egress","action":"deny","run":"r1","number":3,"host":"\u001b[2Ja\u202eb\n{\"forged\":1}"}`,
		`{"event":"egress","action":"deny","run":"r1","number":4,"reason":"`+strings.Repeat("é", 3000)+`"}`,
		`{"event":"egress","action":"deny","run":"r1","number":18446744073709551615,"count":18446744073709551615}`,
		`{"event":"egress","action":"deny","run":"r1","number":18446744073709551615}`,
		`{"event":"egress","action":"deny","run":"\u001b]0;x","number":1,"host":"after.example"}`,
	)
	b.mustTake(trail, lines)
	raw := read(t, filepath.Join(b.dir, "dev.jsonl"))
	if strings.ContainsAny(raw, "\x1b\x00") || strings.Contains(raw, "\\u001b") || strings.Contains(raw, "who") || strings.Contains(raw, "1999") {
		t.Errorf("the log:\n%s", raw)
	}
	got := b.records()
	for _, r := range got {
		if r.Bottle != "dev" || r.Component != "pipelock" || r.Container != container[:12] || r.Kind != KindEgress && r.Kind != KindGap {
			t.Errorf("a forged record: %+v", r)
		}
		if r.Statement != nil && len(r.Reason) > textBytes+3 {
			t.Errorf("a reason of %d bytes", len(r.Reason))
		}
	}
	if got := gaps(got); got.Malformed != 8 || got.Lost != 18446744073709551615-5 {
		t.Errorf("the gaps: %+v", got)
	}
}

// TestFloodOfGarbage is a gigabyte of lines, as far as it matters here: no line of it costs more than a count.
func TestFloodOfGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBottle(t)
		trail := b.open()
		line := []byte(`"number": ` + strings.Repeat("x", 1<<20))
		for i := range 1000 {
			if err := trail.Take(container, "pipelock", at(i), line); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if err := trail.Settle(container, true); err != nil {
			t.Fatal(err)
		}
		if got := b.records(); len(got) > 20 || gaps(got).Malformed != 1000 {
			t.Errorf("%d records: %+v", len(got), gaps(got))
		}
	})
}

// TestKilledAtAnyMoment reads on after each line as if the process had been killed then, with what was saved at another time.
func TestKilledAtAnyMoment(t *testing.T) {
	b := newBottle(t)
	b.limits.Burst, b.limits.Rate = 3, 0 // so that gaps are among it
	lines := denials(40)
	for i := range lines {
		if i%7 == 3 {
			b.limits.Burst++ // a new process begins with a full budget
		}
		trail, err := OpenTrail(b.dir, "dev", b.limits)
		if err != nil {
			t.Fatal(err)
		}
		b.mustTake(trail, lines[:i+1])
		if i%5 == 2 {
			if err := trail.Save(); err != nil {
				t.Fatal(err)
			}
		}
		trail.log.Close() // without saving anything
	}
	trail := b.open()
	b.mustTake(trail, lines)
	if err := trail.Settle(container, true); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if all := uint64(len(b.hosts(got))) + gaps(got).Dropped[KindEgress]; all != 40 || gaps(got).Lost != 0 {
		t.Errorf("%d recorded or counted; want 40: %+v", all, gaps(got))
	}
}

// TestArchived while it is written, and while nobody does: nothing is lost, and nothing recorded again.
func TestArchived(t *testing.T) {
	b := newBottle(t)
	lines := denials(30)
	path := filepath.Join(b.dir, "dev.jsonl")
	archive := func(n int) {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, n)); err != nil {
			t.Fatal(err)
		}
	}
	trail := b.open()
	b.mustTake(trail, lines[:5])
	archive(1)
	b.mustTake(trail, lines[:10])
	trail.log.Close() // killed
	trail = b.open()
	b.mustTake(trail, lines[:20])
	trail.Close()
	archive(2)
	b.mustTake(b.open(), lines)
	got := b.records(path+".1", path+".2", path)
	if len(got) != 30 || len(b.hosts(got)) != 30 {
		t.Errorf("%d records in all", len(got))
	}
}

// TestRotatedAway is what the engine's log has lost between two looks at it.
func TestRotatedAway(t *testing.T) {
	b := newBottle(t)
	trail := b.open()
	var lines output
	lines.deny("r1", 1, "a.example")
	lines.deny("r1", 100, "b.example")
	lines.deny("r2", 11, "c.example")
	lines.deny("r2", 12, "d.example")
	b.mustTake(trail, lines)
	b.mustTake(trail, lines)
	got := b.records()
	if hosts := b.hosts(got); len(hosts) != 4 || gaps(got).Lost != 98+10 {
		t.Errorf("%v, %+v", hosts, gaps(got))
	}
	if gap := got[1]; gap.Kind != KindGap || !gap.From.Equal(at(0)) || !gap.To.Equal(at(1)) || gap.Lost != 98 {
		t.Errorf("the gap: %+v", gap)
	}
}

// TestClockSetBack neither loses nor repeats records.
func TestClockSetBack(t *testing.T) {
	b := newBottle(t)
	trail := b.open()
	lines := denials(3)
	for i, logged := range []time.Time{start, start.Add(-time.Hour), start.Add(-time.Minute)} {
		if err := trail.Take(container, "pipelock", logged, []byte(lines[i])); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.records(); len(b.hosts(got)) != 3 || len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

// TestDiskFull reports the error, and goes on when there is room: with all that was missed.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	b := newBottle(t)
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(b.dir, 0); err != nil {
			t.Error(err)
		}
	})
	trail := b.open()
	t.Cleanup(func() { trail.Close() })
	ballast := filepath.Join(b.dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := denials(200)
	err := b.take(trail, lines)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v; want ENOSPC", err)
	}
	if err := b.take(trail, lines); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("again: %v; want ENOSPC", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// Meanwhile, the engine's log lost some.
	lost := append(output{}, lines...)
	for i := 100; i < 110; i++ {
		lost[i] = "not about a decision"
	}
	for i, line := range lost {
		if IsStatement([]byte(line)) {
			if err := trail.Take(container, "pipelock", at(i), []byte(line)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := b.records()
	if hosts := b.hosts(got); len(hosts) != 190 || gaps(got).Lost != 10 {
		t.Errorf("%d records, %+v", len(hosts), gaps(got))
	}
}

func TestMiss(t *testing.T) {
	b := newBottle(t)
	trail := b.open()
	b.mustTake(trail, denials(2))
	if err := trail.Miss(container, "pipelock", "it was removed"); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if last := got[len(got)-1]; len(got) != 3 || last.Kind != KindGap || last.Why != "it was removed" || last.Number != 2 {
		t.Errorf("%+v", got)
	}
}
