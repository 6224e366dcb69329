package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"

	"github.com/bot-bottle/bottled/state/printable"
)

const (
	// MaxJustification bounds a proposal's justification, in bytes.
	MaxJustification = 4 << 10
	// MaxPayload bounds a proposal's payload, in bytes.
	MaxPayload = 256 << 10
	// MaxNotes bounds an answer's notes and the name of who gave it, in bytes.
	MaxNotes = 16 << 10

	maxBottle = 64 // a slug
	// maxFileBytes limits a proposal file: escaped as JSON, a text may double in size.
	maxFileBytes = 2*(MaxJustification+MaxPayload) + 4<<10
)

// Tool is the tool that an agent called. It determines the format of the payload.
type Tool string

// The tools.
const (
	CredProxyBlock  Tool = "cred-proxy-block" //nolint:gosec // the tool's name; payload: a routes.json, as route.Render writes it
	PipelockBlock   Tool = "pipelock-block"   // payload: the URL that was refused
	CapabilityBlock Tool = "capability-block" // payload: a Dockerfile
	SecretRequest   Tool = "secret-request"   // payload: a Secret, as its Payload writes it
)

var tools = []Tool{CredProxyBlock, PipelockBlock, CapabilityBlock, SecretRequest}

// Status is the outcome of a proposal.
type Status string

// The statuses. Withdrawn is only read, from queues of earlier versions: a proposal now outlives the calls that wait for it.
const (
	Approved  Status = "approved"
	Modified  Status = "modified" // approved with changes, which the notes tell
	Rejected  Status = "rejected"
	Expired   Status = "expired" // nobody answered in time
	Failed    Status = "failed"  // it was approved, the bottle did not become ready with it, and the change was taken back
	Withdrawn Status = "withdrawn"
)

var statuses = []Status{Approved, Modified, Rejected, Expired, Failed, Withdrawn}

// Proposal is an agent's request to a person. Every field but the ID was written inside the bottle and is not verified. In particular,
// Bottle proves nothing; the queue's directory does.
type Proposal struct {
	ID            string    `json:"id"`
	Bottle        string    `json:"bottle"`
	Tool          Tool      `json:"tool"`
	Created       time.Time `json:"created"`
	Justification string    `json:"justification"`
	Payload       string    `json:"payload"`
}

// Answer is the answer to a proposal.
type Answer struct {
	Status Status    `json:"status"`
	Notes  string    `json:"notes"`
	By     string    `json:"by"`
	Time   time.Time `json:"time"`
}

// idPattern matches the identifiers of NewID: sortable by time, and unguessable.
var idPattern = regexp.MustCompile(`^[0-9]{8}t[0-9]{15}z-[a-z2-7]{26}$`)

// parseProposal parses a proposal file, whose name has the ID. It is strict, so that a person sees everything that the file contains.
func parseProposal(id string, data []byte) (Proposal, error) {
	var p Proposal
	if err := unmarshal(data, &p); err != nil {
		return Proposal{}, err
	}
	if p.ID != id {
		return Proposal{}, fmt.Errorf("id %.64q is not the file's", p.ID)
	}
	return p, p.validate()
}

// unmarshal is strict: unknown and repeated keys are errors.
func unmarshal(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into)
	return errors.Join(append([]error{err}, strict...)...)
}

func (p Proposal) validate() error {
	switch {
	case !idPattern.MatchString(p.ID):
		return fmt.Errorf("id %.64q is malformed", p.ID)
	case !slices.Contains(tools, p.Tool):
		return fmt.Errorf("tool %.64q is unknown", p.Tool)
	case p.Created.IsZero():
		return errors.New("created is missing")
	}
	return errors.Join(
		CheckText("bottle", p.Bottle, maxBottle),
		CheckText("justification", p.Justification, MaxJustification),
		checkPayload(p.Tool, p.Payload),
	)
}

func (a Answer) validate() error {
	if !slices.Contains(statuses, a.Status) {
		return fmt.Errorf("status %.64q is unknown", a.Status)
	}
	if len(a.Notes) > MaxNotes || len(a.By) > MaxNotes {
		return fmt.Errorf("notes or by are larger than %d bytes", MaxNotes)
	}
	return nil
}

// CheckText validates a text from inside a bottle: it must be present, have at most maxBytes, and contain no control or invisible
// characters, which a person who reads it would not see.
func CheckText(name, text string, maxBytes int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%s must not be empty", name)
	case len(text) > maxBytes:
		return fmt.Errorf("%s has %d bytes; at most %d are allowed", name, len(text), maxBytes)
	}
	if err := printable.Check(text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Secret is the payload of a secret-request: a credential that the agent's requests need, and that it never sees.
type Secret struct {
	Name     string `json:"name"`           // of a token slot of the bottle, or of a new secret
	Upstream string `json:"upstream"`       // the URL that the credential is for
	Path     string `json:"path,omitempty"` // of a new route of cred-proxy; "" for /NAME/
}

// RoutePath is the path of the new route.
func (s Secret) RoutePath() string {
	if s.Path == "" {
		return "/" + s.Name + "/"
	}
	return s.Path
}

// Payload returns the same text for equal requests.
func (s Secret) Payload() (string, error) {
	if s.Path == "/"+s.Name+"/" {
		s.Path = ""
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(s)
	return strings.TrimSuffix(out.String(), "\n"), err
}

// ParseSecret parses the payload of a secret-request. It is strict, and checks no more than that a name and an upstream are there.
func ParseSecret(payload string) (s Secret, err error) {
	err = unmarshal([]byte(payload), &s)
	if err == nil && (s.Name == "" || s.Upstream == "") {
		err = errors.New("name or upstream is missing")
	}
	if err != nil {
		return Secret{}, fmt.Errorf("payload: %w", err)
	}
	return s, nil
}

// checkPayload validates a payload as it will be decoded: in JSON, an escape can stand for any character.
func checkPayload(tool Tool, payload string) error {
	if err := CheckText("payload", payload, MaxPayload); err != nil {
		return err
	}
	switch tool {
	case CredProxyBlock:
		return checkJSON(payload)
	case SecretRequest:
		_, err := ParseSecret(payload)
		return errors.Join(err, checkJSON(payload))
	default:
		return nil
	}
}

func checkJSON(payload string) error {
	if !json.Valid([]byte(payload)) {
		return errors.New("payload is not valid JSON")
	}
	for decoder := json.NewDecoder(strings.NewReader(payload)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("payload: %w", err)
		}
		if text, isText := token.(string); isText && printable.Line(text) != text {
			return fmt.Errorf("payload has an escaped control or invisible character, in %.128q; remove it", text)
		}
	}
}
