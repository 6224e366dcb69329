package configreport

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is the value of FieldEvent in a report.
const Event = "config"

// The fields of a report.
const (
	FieldEvent  = "event"
	FieldCause  = "cause"
	FieldConfig = "config"
)

// The causes of a report: what made the sidecar read its configuration.
const (
	CauseStart  = "start"
	CauseSignal = "signal" // SIGHUP: the report acknowledges it
)

// Report is one report.
type Report struct {
	Event  string    `json:"event"`
	Cause  string    `json:"cause"`
	Config string    `json:"config"` // configdigest.Of the files in force
	Error  string    `json:"error"`  // why a new configuration was refused; Config is then the old one's, still in force
	Time   time.Time `json:"time"`
}

// Parse reads a line of a sidecar's log; false when it is no report.
func Parse(line string) (Report, bool) {
	if !strings.Contains(line, `"`+FieldEvent+`":"`+Event+`"`) {
		return Report{}, false // cheaper than JSON: most lines are about requests
	}
	var r Report
	return r, json.Unmarshal([]byte(line), &r) == nil && r.Event == Event
}
