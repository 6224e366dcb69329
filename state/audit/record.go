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

// Kinds of records. See also KindChange.
const (
	KindEgress     = "egress"     // pipelock allowed or denied a request
	KindRequest    = "request"    // cred-proxy used a credential, or refused to
	KindCredential = "credential" // cred-proxy loaded a route's token, or can't send it
	KindProposal   = "proposal"   // supervise queued, found or withdrew a proposal, or delivered its answer
	KindGap        = "gap"        // records are missing
	KindDecision   = "decision"   // somebody answered a proposal: queue.Record
)

// Codes of denied egress, and of credentials that were not accepted. Other records have none. The reason says the same in words.
const (
	CodeHostNotAllowed = "host_not_allowed" // the host is not on the allowlist
	CodePortNotAllowed = "port_not_allowed" // the host is, and the port is not
	CodeAddressBlocked = "address_blocked"  // the address is not public, or belongs to another host
	CodeDLP            = "dlp"              // the request looks like a leak of data, or can't be inspected
	CodeServerName     = "server_name"      // TLS asks for another server than CONNECT did
	CodeMalformed      = "malformed"        // the request can be read in more than one way, or is not supported
	CodeRevoked        = "revoked"          // a reload ended it: the new configuration does not allow it
	CodeOverload       = "overload"         // too much at once

	CodeCredentialRejected = "credential_rejected" //nolint:gosec // a code: the upstream answered 401 or 403
	CodeCredentialUnusable = "credential_unusable" //nolint:gosec // a code: the token is missing, empty, too large, or can't be sent in a header
)

// Record is a line of the log: a sidecar's decision, or a gap.
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

// Position is a position in a container's output.
type Position struct {
	Logged time.Time `json:"logged,omitzero"`  // when the engine received the line
	Run    Text      `json:"run,omitempty"`    // identifies the sidecar's process
	Number uint64    `json:"number,omitempty"` // of the record within the run, from 1
}

// Statement is a sidecar's account of a decision, made printable and limited in size. It is not verified: a compromised sidecar may
// claim anything.
type Statement struct {
	// Action is allow, deny or error for egress; loaded or missing for a credential; new, found or answered for a proposal; withdrawn in logs of earlier versions.
	Action   Text   `json:"action,omitempty"`
	Phase    Text   `json:"phase,omitempty"` // request: begin, end; many of them: reserve, count
	ID       Text   `json:"id,omitempty"`
	Client   Text   `json:"client,omitempty"`
	Method   Text   `json:"method,omitempty"`
	Host     Text   `json:"host,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Address  Text   `json:"address,omitempty"`
	Route    Text   `json:"route,omitempty"`
	Refused  bool   `json:"refused,omitempty"`
	Path     Text   `json:"path,omitempty"`
	Rule     Text   `json:"rule,omitempty"` // egress: by which a secret was found
	Tool     Text   `json:"tool,omitempty"`
	Status   Text   `json:"status,omitempty"`
	Code     Text   `json:"code,omitempty"`   // stable, for programs: one of the Code constants
	Reason   Text   `json:"reason,omitempty"` // for people
	Warning  Text   `json:"warning,omitempty"`
	Error    Text   `json:"error,omitempty"`
	Aborted  bool   `json:"aborted,omitempty"`
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
	Bytes    uint64 `json:"bytes,omitempty"` // of responses; of requests:
	Request  uint64 `json:"request_bytes,omitempty"`
	Millis   uint64 `json:"duration_ms,omitempty"`
	// Count is the number of decisions that the record stands for; 0 means one. Others marks a record for several kinds, which were too
	// many to count apart. AtMost reserves that many further requests on the route; a later Count says how many there were.
	Count  uint64 `json:"count,omitempty"`
	Others bool   `json:"others,omitempty"`
	AtMost uint64 `json:"at_most,omitempty"`
	Ended  uint64 `json:"ended,omitempty"`
	Failed uint64 `json:"failed,omitempty"` // of Ended: with status 400 or more, or aborted
	// Rejected is how many of Failed ended with code credential_rejected or credential_unusable.
	Rejected uint64    `json:"rejected,omitempty"`
	Since    time.Time `json:"since,omitzero"` // of a Count: time of the first
}

// Gap counts missing records.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Dropped counts, by kind, the decisions for which the log had no room or which came too fast.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	// Lost counts the numbered records that the engine's log no longer has.
	Lost uint64 `json:"lost,omitempty"`
	// Malformed counts the lines that no sidecar of bottled writes.
	Malformed uint64 `json:"malformed,omitempty"`
	// Why explains a gap of an unknown number of records.
	Why string `json:"why,omitempty"`
}

func (g *Gap) empty() bool {
	return len(g.Dropped) == 0 && g.Lost == 0 && g.Malformed == 0 && g.Why == ""
}

// textBytes limits a text of a statement, in bytes.
const textBytes = 1 << 10

// Text is a string written by a sidecar, made printable and limited to textBytes. It also accepts a JSON number.
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
	*t = printableText(s, textBytes)
	return nil
}

// printableText makes a text printable and cuts it to a size in bytes.
func printableText(s string, limit int) Text {
	s = printable.Line(s)
	if len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return Text(s)
}

// lineBytes limits a statement's line, in bytes. bottled's sidecars write fewer than 2 KiB.
const lineBytes = 8 << 10

// IsStatement reports whether a line of a sidecar's output is a statement about a decision.
func IsStatement(line []byte) bool { return bytes.Contains(line, []byte(`"number":`)) }

// parse parses a statement.
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
	case KindEgress, KindRequest, KindCredential, KindProposal:
		return kind, said.Number, said.Run, said.Statement, true
	}
	return "", 0, "", s, false
}

// At returns when the engine received the sidecar's line; for a record without one, when it was appended.
func (r Record) At() time.Time {
	if r.Logged.IsZero() {
		return r.Time
	}
	return r.Logged
}
