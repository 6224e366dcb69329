package audit

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestChangesFlood records as many changes as the budget allows, and counts the others.
func TestChangesFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "audit")
		changes := &Changes{Dir: dir, Who: "anna"}
		record := func(action string) {
			if err := changes.Record(Change{Bottle: "dev", Action: action, Result: ChangeDone, Error: "\x1b" + strings.Repeat("é", 2000)}); err != nil {
				t.Fatal(err)
			}
		}
		const flood = changeBurst + 50
		for range flood {
			record("create")
		}
		<-time.After(changeInterval)
		record("start")
		if err := changes.Commit("dev"); err != nil {
			t.Fatal(err)
		}
		var recorded int
		var dropped uint64
		var last Change
		for line := range strings.Lines(read(t, filepath.Join(dir, "dev.jsonl"))) {
			var gap Record
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Fatal(err)
			}
			if last.Kind == KindChange {
				recorded++
				continue
			}
			if err := json.Unmarshal([]byte(line), &gap); err != nil {
				t.Fatal(err)
			}
			dropped += gap.Dropped[KindChange]
		}
		if recorded != changeBurst+1 || recorded+int(dropped) != flood+1 {
			t.Errorf("%d recorded, %d counted, of %d", recorded, dropped, flood+1)
		}
		if last.Action != "start" || last.Who != "anna" || strings.Contains(last.Error, "\x1b") || len(last.Error) > changeError+3 {
			t.Errorf("the last: %+v", last)
		}
		findsNothing(t, verify(t, VerifyOptions{Dir: dir}))
	})
}
