package v1alpha1

import (
	"cmp"
	"time"
)

// PolicyKind is the kind of a document that declares what may be approved without a person.
const PolicyKind = "ApprovalPolicy"

// The paths of what a bottle says about its agent's proposals.
const (
	ApprovalsField = specField + ".approvals"
	// PolicyAutoField is the path of the rules of a policy.
	PolicyAutoField = specField + ".auto"
)

// The defaults of approvals.
const (
	DefaultExpireAfter = 24 * time.Hour
	DefaultAutoMax     = 20
)

// ToolPipelockBlock is the MCP tool by which an agent asks for a host: the only one that a rule may approve.
const ToolPipelockBlock = "pipelock-block"

// Approvals say how proposals of an agent are answered, other than by a person. A policy and a bottle have them.
type Approvals struct {
	ExpireAfter string `json:"expireAfter,omitempty" jsonschema_description:"How long a proposal waits for an answer, like 8h or 90m; from 1m to 720h. Unset: 24h."`
	// Auto is nil where it is unset. An empty list approves nothing.
	Auto []AutoRule `json:"auto,omitzero" jsonschema_description:"Rules that approve proposals without a person. An empty list approves nothing."`
}

// AutoRule approves proposals without a person.
type AutoRule struct {
	Tool  string   `json:"tool" jsonschema_description:"The tool by which the agent asks. Only pipelock-block can be approved by a rule."`
	Hosts []string `json:"hosts" jsonschema_description:"The hosts that it approves: names, or *.NAME for every subdomain. HOST:PORT approves that port, HOST 443 and 80."`
	For   string   `json:"for,omitempty" jsonschema_description:"How long an approved host is allowed, like 8h; from 1m to 720h. Unset: without an end."`
	Max   int64    `json:"max,omitempty" jsonschema_description:"How many of its approvals can be in force at once in a bottle. Unset: 20."`
}

// Duration returns how long an approved host is allowed; 0 for no end. It is meant for a valid rule.
func (r AutoRule) Duration() time.Duration { return Duration(r.For, 0) }

// Limit returns how many approvals of the rule can be in force at once.
func (r AutoRule) Limit() int { return int(cmp.Or(r.Max, DefaultAutoMax)) }

// ApprovalPolicy says what may be approved without a person, in all bottles of the directory.
type ApprovalPolicy struct {
	APIVersion string         `json:"apiVersion" jsonschema_description:"The version of this format."`
	Kind       string         `json:"kind" jsonschema_description:"What the document declares."`
	Metadata   PolicyMetadata `json:"metadata" jsonschema_description:"What identifies the policy."`
	Spec       Approvals      `json:"spec" jsonschema_description:"What holds for all bottles. A bottle may allow less, never more."`
	Source     Source         `json:"-"`
}

// PolicyMetadata identifies a policy.
type PolicyMetadata struct {
	Name string `json:"name" jsonschema_description:"The policy's name: a DNS label of at most 40 characters."`
}

// ApproveNothing is the policy where the declared one can't be known: nothing is approved without a person.
func ApproveNothing() *ApprovalPolicy {
	return &ApprovalPolicy{APIVersion: APIVersion, Kind: PolicyKind, Spec: Approvals{Auto: []AutoRule{}}}
}
