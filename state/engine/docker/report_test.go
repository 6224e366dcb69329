package docker

import (
	"strings"
	"testing"
	"time"
)

func line(cause, config, failure string, at time.Time) string {
	return `{"level":"info","time":"` + at.Format(time.RFC3339Nano) + `","event":"config","cause":"` + cause + `","config":"` + config + `","error":"` + failure + "\"}\n"
}

func TestFollowReport(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after, before := since.Add(time.Second), since.Add(-time.Second)
	noise := "not JSON\n{\"event\":\"request\"}\n"
	for name, c := range map[string]struct {
		log  string
		want string // "" for success
	}{
		"at once":               {noise + line("start", "new", "", after), ""},
		"an older run said it":  {line("start", "new", "", before), "ended before it was ready"},
		"another cause":         {line("file", "new", "", after), "ended before it was ready"},
		"another configuration": {line("start", "old", "", after), "ended before it was ready"},
		"the right one later":   {line("start", "old", "", after) + line("start", "new", "", after), ""},
		"refused":               {line("start", "old", "unknown key", after), "unknown key"},
		"ended silently":        {"", "ended before it was ready"},
		"a line without an end": {strings.Repeat("x", 3*maxLogLine) + "\n" + line("start", "new", "", after), ""},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := followReport(strings.NewReader(c.log), since, "new", "start")
			if c.want == "" && (err != nil || report.Config != "new" || !report.At.Equal(after)) {
				t.Errorf("%+v, %v", report, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}
