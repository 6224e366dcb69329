package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/bottled/state/printable"
)

// Kinds of records. People's decisions about proposals (queue.Record) are in the log, too, and their kind is decision.
const (
	KindEgress   = "egress"   // pipelock let a request out, or refused it
	KindRequest  = "request"  // cred-proxy used a credential, or refused to
	KindProposal = "proposal" // supervise took a proposal, gave it back, delivered its answer
	KindGap      = "gap"      // records are missing, as many as it says
)

// Record is a line of the log that a sidecar's decision became, or a gap.
type Record struct {
	Time      time.Time `json:"time"` // when it was appended
	Bottle    string    `json:"bottle"`
	Kind      string    `json:"kind"`
	Component string    `json:"component"`
	Container string    `json:"container"` // the first 12 characters of its ID
	Position
	*Statement
	*Gap
}

// Position is how far a container's output was read.
type Position struct {
	Logged time.Time `json:"logged,omitzero"`  // when the engine got the line
	Run    Text      `json:"run,omitempty"`    // names the sidecar's process
	Number uint64    `json:"number,omitempty"` // of the record, from 1 on in each run
}

// Statement is what a sidecar says about a decision. It was cut to size and made printable, and is otherwise the sidecar's
// word: one that was taken over says what it likes.
type Statement struct {
	Action   Text   `json:"action,omitempty"` // egress: allow, deny, error; proposal: new, found, answered, withdrawn
	Phase    Text   `json:"phase,omitempty"`  // request: begin, end; many of them: reserve, count
	ID       Text   `json:"id,omitempty"`
	Client   Text   `json:"client,omitempty"`
	Method   Text   `json:"method,omitempty"`
	Host     Text   `json:"host,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Address  Text   `json:"address,omitempty"`
	Route    Text   `json:"route,omitempty"`
	Refused  bool   `json:"refused,omitempty"`
	Path     Text   `json:"path,omitempty"`
	Tool     Text   `json:"tool,omitempty"`
	Status   Text   `json:"status,omitempty"`
	Reason   Text   `json:"reason,omitempty"`
	Warning  Text   `json:"warning,omitempty"`
	Error    Text   `json:"error,omitempty"`
	Aborted  bool   `json:"aborted,omitempty"`
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
	Bytes    uint64 `json:"bytes,omitempty"` // of responses; of requests:
	Request  uint64 `json:"request_bytes,omitempty"`
	Millis   uint64 `json:"duration_ms,omitempty"`
	// Count is how many decisions the record stands for; without it, one. Others are of several kinds, which were too many to
	// be told apart. AtMost announces that many more requests on the route, of which Count says later how many came.
	Count  uint64    `json:"count,omitempty"`
	Others bool      `json:"others,omitempty"`
	AtMost uint64    `json:"at_most,omitempty"`
	Ended  uint64    `json:"ended,omitempty"`
	Failed uint64    `json:"failed,omitempty"` // of those that ended: with status 400 or more, or cut short
	Since  time.Time `json:"since,omitzero"`   // of a Count: when the first of them was
}

// Gap says which records are missing.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Dropped counts records by kind, for which the log had no room or which came too fast. One that stands for several
	// decisions counts as that many.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	// Lost are records that the sidecar numbered and the engine's log does not have any more.
	Lost uint64 `json:"lost,omitempty"`
	// Malformed are lines that no sidecar of ours writes.
	Malformed uint64 `json:"malformed,omitempty"`
	// Why says why records may be missing of which nobody knows how many.
	Why string `json:"why,omitempty"`
}

func (g *Gap) empty() bool {
	return len(g.Dropped) == 0 && g.Lost == 0 && g.Malformed == 0 && g.Why == ""
}

// textBytes bounds one text of a statement, in bytes.
const textBytes = 1 << 10

// Text is a string that a sidecar wrote: printable and not too long. A number in its place is taken, too.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	var s string
	switch {
	case bytes.Equal(data, []byte("null")):
	case data[0] == '"':
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
	case data[0] == '{' || data[0] == '[':
		return errors.New("a text is expected")
	default:
		s = string(data)
	}
	s = printable.Line(s)
	if len(s) > textBytes {
		s = s[:textBytes]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	*t = Text(s)
	return nil
}

// lineBytes bounds a sidecar's line. Theirs have fewer than 2 KiB.
const lineBytes = 8 << 10

// IsStatement says whether a line of a sidecar's output is about a decision.
func IsStatement(line []byte) bool { return bytes.Contains(line, []byte(`"number":`)) }

// parse reads a line that is about a decision.
func parse(line []byte) (kind string, number uint64, run Text, s Statement, ok bool) {
	var said struct {
		Event  Text   `json:"event"`
		Run    Text   `json:"run"`
		Number uint64 `json:"number"`
		Statement
	}
	if len(line) > lineBytes || json.Unmarshal(line, &said) != nil || said.Number == 0 || said.Run == "" {
		return "", 0, "", s, false
	}
	switch kind = strings.ToLower(string(said.Event)); kind {
	case KindEgress, KindRequest, KindProposal:
		return kind, said.Number, said.Run, said.Statement, true
	}
	return "", 0, "", s, false
}
