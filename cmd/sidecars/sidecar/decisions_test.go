package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	stdlog "log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

const flood = 42000

func egress(action, host string) Subject {
	return Subject{Event: "egress", Action: action, Host: host, Port: 443, Reason: "domain not in allowlist"}
}

// decide records n decisions within 4 seconds, and lets the window end.
func decide(n int, subject func(i int) Subject) (lines []map[string]any, size int) {
	var out bytes.Buffer
	d := NewDecisions(zerolog.New(&out))
	for i := range n {
		d.Record(subject(i), 1, 2, "m", func(e *zerolog.Event) *zerolog.Event { return e.Int("i", i) })
		<-time.After(4 * time.Second / flood)
	}
	<-time.After(Window)
	synctest.Wait()
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			panic(err)
		}
		lines = append(lines, fields)
	}
	return lines, out.Len()
}

// check holds numbers and counts of lines against each other, and returns how many decisions they stand for, by action.
func check(t *testing.T, lines []map[string]any) map[string]int {
	t.Helper()
	decided := map[string]int{}
	for i, line := range lines {
		if line["number"] != float64(i+1) || line["run"] != lines[0]["run"] || line["run"] == "" {
			t.Fatalf("line %d: %v", i+1, line)
		}
		n, sent := 1.0, 1.0
		if count, ok := line["count"].(float64); ok {
			n, sent = count, count
		}
		if line["sent"] != sent || line["received"] != 2*sent {
			t.Errorf("%v of %v decisions", line, n)
		}
		decided[fmt.Sprint(line["action"])] += int(n)
	}
	return decided
}

func TestFloodOfEqualDenials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, size := decide(flood, func(int) Subject { return egress(ActionDeny, "evil.example") })
		if got := check(t, lines)[ActionDeny]; got != flood || len(lines) != equalLines+1 {
			t.Errorf("%d lines stand for %d decisions", len(lines), got)
		}
		if last := lines[len(lines)-1]; lines[0]["i"] != 0.0 || last["host"] != "evil.example" || last["count"] != float64(flood-equalLines) || last["level"] != "warn" {
			t.Errorf("first %v, last %v", lines[0], last)
		}
		t.Logf("%d decisions, %d lines, %d bytes", flood, len(lines), size)
	})
}

func TestFloodOfDistinctHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, size := decide(flood, func(i int) Subject { return egress(ActionDeny, fmt.Sprintf("%d.evil.example", i)) })
		if got := check(t, lines)[ActionDeny]; got != flood || len(lines) != maxSubjects+1 {
			t.Errorf("%d lines stand for %d decisions", len(lines), got)
		}
		if last := lines[len(lines)-1]; lines[0]["host"] != "0.evil.example" || last["others"] != true || last["host"] != nil {
			t.Errorf("first %v, last %v", lines[0], last)
		}
		t.Logf("%d decisions, %d lines, %d bytes", flood, len(lines), size)
	})
}

// TestFloodDoesNotHideWhatWasAllowed: denials leave the lines of other actions alone.
func TestFloodDoesNotHideWhatWasAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, _ := decide(flood, func(i int) Subject {
			if i == flood/2 {
				return egress("allow", "good.example")
			}
			return egress(ActionDeny, fmt.Sprintf("%d.evil.example", i))
		})
		allowed := 0
		for _, line := range lines {
			if line["host"] == "good.example" && line["i"] == float64(flood/2) && line["level"] == "info" {
				allowed++
			}
		}
		if got := check(t, lines); got["allow"] != 1 || got[ActionDeny] != flood-1 || allowed != 1 {
			t.Errorf("%v, %d lines of what was allowed", got, allowed)
		}
	})
}

// TestLongFlood is bounded in each window, and each window begins with lines again.
func TestLongFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := NewDecisions(zerolog.New(&out))
		for i := range 600 * 10 { // ten minutes
			d.Record(egress(ActionDeny, fmt.Sprint(i%2000)+strings.Repeat("a", 240)), 0, 0, "m", func(e *zerolog.Event) *zerolog.Event { return e })
			d.Record(Subject{Event: "egress", Action: ActionError, Reason: strings.Repeat("é", 9000)}, 0, 0, "m", func(e *zerolog.Event) *zerolog.Event { return e })
			<-time.After(100 * time.Millisecond)
		}
		const windows = 600 / 5
		if n, size := strings.Count(out.String(), "\n"), out.Len(); n > windows*(maxSubjects+1+equalLines+1) || size > 12<<20 {
			t.Errorf("%d lines, %d bytes", n, size)
		}
	})
}

// TestCountsAtTheEnd are written when the program stops, and once.
func TestCountsAtTheEnd(t *testing.T) {
	var out bytes.Buffer
	d := NewDecisions(zerolog.New(&out))
	for range equalLines + 3 {
		d.Record(egress(ActionDeny, "evil.example"), 0, 0, "m", func(e *zerolog.Event) *zerolog.Event { return e })
	}
	d.Flush()
	d.Flush()
	if n := strings.Count(out.String(), "\n"); n != equalLines+1 || !strings.Contains(out.String(), `"count":3,`) {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// TestFloodOfMessages is what a client makes net/http say, with GOAWAY frames for instance.
func TestFloodOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := stdlog.New(Bounded(zerolog.New(&out)), "", 0)
		for range flood {
			log.Print("http2: received GOAWAY")
		}
		if n := strings.Count(out.String(), "\n"); n != messageBurst {
			t.Errorf("%d lines", n)
		}
		<-time.After(2 * time.Minute)
		log.Print("http2: received GOAWAY")
		if n := strings.Count(out.String(), "\n"); n != messageBurst+1 {
			t.Errorf("%d lines after some minutes", n)
		}
	})
}
