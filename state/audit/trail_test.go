package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	reached := trail.LastLogged(container)
	for i, line := range lines {
		if at(i).Before(reached) {
			continue
		}
		if err := trail.Add(container, "pipelock", at(i), []byte(line)); err != nil {
			return err
		}
	}
	return trail.FlushGap(container, false)
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
		trail := b.open()
		b.mustTake(trail, denials(1))
		const missing = `{"event":"credential","action":"missing","route":"/a/","host":"a.example","port":443,"code":"credential_unusable","reason":"it is empty"`
		if err := trail.Add(container, "cred-proxy", at(1), []byte(missing+`,"run":"r1","number":2}`)); err != nil {
			t.Fatal(err)
		}
		want := `{"time":"2000-01-01T00:00:00Z","bottle":"dev","kind":"egress","component":"pipelock","container":"0123456789ab",` +
			`"logged":"2026-01-02T03:04:05Z","run":"r1","number":1,"action":"deny","host":"host1.example","port":443,"reason":"domain not in allowlist"}` + "\n" +
			`{"time":"2000-01-01T00:00:00Z","bottle":"dev","kind":"credential","component":"pipelock","container":"0123456789ab",` +
			`"logged":"2026-01-02T03:04:05.001Z","run":"r1","number":2,"action":"missing","host":"a.example","port":443,"route":"/a/",` +
			`"code":"credential_unusable","reason":"it is empty"}` + "\n"
		if got := withoutSeals(read(t, filepath.Join(b.dir, "dev.jsonl"))); got != want {
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
					if err := trail.Add(container, "pipelock", at(i), []byte(line)); err != nil {
						t.Fatal(err)
					}
					<-time.After(time.Second / 10000) // over 4.2 s
				}
				<-time.After(gapDelay)
				if err := trail.FlushGap(container, false); err != nil {
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
			<-time.After(time.Hour)
		}
		if got := len(b.records()); got != 1 {
			t.Errorf("%d records; want the one that there was room for", got)
		}
		if got := trail.FullComponents(); len(got) != 1 || got[0] != "pipelock" {
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
	if err := trail.Add("another", "cred-proxy", start, []byte(used)); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if last := got[len(got)-1]; last.Kind != KindRequest || last.Component != "cred-proxy" || last.Route != "/api/" {
		t.Errorf("the last record: %+v", last)
	}
}

// TestRotatedAway loses lines of the engine's log between two reads.
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
		if err := trail.Add(container, "pipelock", logged, []byte(lines[i])); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.records(); len(b.hosts(got)) != 3 || len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestMiss(t *testing.T) {
	b := newBottle(t)
	trail := b.open()
	b.mustTake(trail, denials(2))
	if err := trail.RecordLoss(container, "pipelock", "it was removed"); err != nil {
		t.Fatal(err)
	}
	got := b.records()
	if last := got[len(got)-1]; len(got) != 3 || last.Kind != KindGap || last.Why != "it was removed" || last.Number != 2 {
		t.Errorf("%+v", got)
	}
}
