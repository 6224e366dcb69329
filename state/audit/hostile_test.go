package audit

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
			if err := trail.Add(container, "pipelock", at(i), line); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
		}
		if err := trail.FlushGap(container, true); err != nil {
			t.Fatal(err)
		}
		if got := b.records(); len(got) > 20 || gaps(got).Malformed != 1000 {
			t.Errorf("%d records: %+v", len(got), gaps(got))
		}
	})
}
