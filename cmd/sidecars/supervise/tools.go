package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	listCurrentConfig = "list-current-config"
	proposalStatus    = "proposal-status"

	// pending is the status of a proposal without an answer.
	pending = "pending"

	// maxStatus is the number of proposals that proposal-status lists, and maxShownBytes the length of each one's excerpt.
	maxStatus     = 20
	maxShownBytes = 200
)

// serverInstructions are for the agent.
const serverInstructions = `You run in a bottle: a sandbox without internet, except for what its human allows. ` +
	`When the bottle stops you from doing your task, ask for more with pipelock-block, cred-proxy-block, secret-request or capability-block. ` +
	`A human reads each proposal, which may take hours; that is normal, so do not look for a way around. ` +
	`A call waits a while for the answer. Its status is pending if there is none yet, and a client may give up before: the proposal stays in the queue. ` +
	`Go on with what you can do without it, and call again later with the same arguments: you get the answer that came meanwhile, or wait once more. ` +
	`list-current-config shows what you have now, proposal-status what became of your proposals; both answer at once. ` +
	`Ask for the least that you need, and say why.`

// decision is the result of each tool that asks a human.
type decision struct {
	Status string `json:"status" jsonschema:"approved: it is in force, as proposed; modified: it is in force, but changed, see notes; rejected: it will not be done, so do not ask for it again; expired: nobody answered in time, so ask again if you still need it; failed: it was approved, but did not work and was taken back, see notes; pending: nobody has answered yet, so go on with other work and call again later with the same arguments"`
	Notes  string `json:"notes" jsonschema:"what the human has to say about it, or what to do now; may be empty"`
}

type routesArguments struct {
	// An array instead of JSON text: models fill in a structure with a schema more reliably than they escape JSON within JSON, and schema
	// errors show them what was wrong.
	Routes        []route.Entry `json:"routes" jsonschema:"every route that the bottle shall have afterwards, as list-current-config shows them: the present ones that stay, unchanged, and the new ones"`
	Justification string        `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

type urlArguments struct {
	URL           string `json:"url" jsonschema:"the URL that was refused, like https://api.example.com/v1; only its host is what you are asking for"`
	Justification string `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

type secretArguments struct {
	Name          string `json:"name" jsonschema:"what the secret is to be called, like github; or the token_slot of a route that list-current-config shows, whose token is rejected or outdated"`
	Upstream      string `json:"upstream" jsonschema:"the https URL that the secret is for, like https://api.github.com"`
	Path          string `json:"path,omitempty" jsonschema:"for a new secret: path at http://cred-proxy:9099 of its route, like /github/; without it /NAME/"`
	Justification string `json:"justification" jsonschema:"for the human: what you are doing, why it needs this, and which rights are enough"`
}

type dockerfileArguments struct {
	Dockerfile    string `json:"dockerfile" jsonschema:"the whole new Dockerfile of your container; begin with the present one, which list-current-config shows, and add what is missing"`
	Justification string `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

// configuration is the result of list-current-config.
type configuration struct {
	Routes       []route.Entry `json:"routes" jsonschema:"the routes of cred-proxy; to ask for others, propose the whole list with cred-proxy-block"`
	Allowlist    []string      `json:"allowlist" jsonschema:"the hosts that you can reach through pipelock; *.NAME stands for every subdomain"`
	PrivateCIDRs []string      `json:"private_cidrs" jsonschema:"the ranges in which addresses may be reached; all other private addresses are refused"`
	Dockerfile   string        `json:"dockerfile" jsonschema:"what your container is built from; empty when it cannot be changed here"`
}

// statusList is the result of proposal-status.
type statusList struct {
	Proposals []proposal `json:"proposals" jsonschema:"your proposals, the newest first; one whose answer a call has returned to you is listed for an hour"`
}

type proposal struct {
	Tool          string `json:"tool" jsonschema:"the tool that was called"`
	Proposal      string `json:"proposal" jsonschema:"the beginning of what was proposed"`
	Justification string `json:"justification" jsonschema:"as you gave it"`
	Created       string `json:"created" jsonschema:"when it was queued, RFC 3339, UTC"`
	Answered      string `json:"answered,omitempty" jsonschema:"when it was answered, RFC 3339, UTC"`
	Status        string `json:"status" jsonschema:"as the tool returns it: pending, approved, modified, rejected, expired or failed"`
	Notes         string `json:"notes" jsonschema:"what the human has to say about it; may be empty"`
}

func newServer(d *broker) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "supervise", Title: "bottled supervise", Version: "1"},
		&mcp.ServerOptions{Instructions: serverInstructions, Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}})
	addProposalTools(server, d)
	addTool(server, listCurrentConfig, "Show what this bottle has",
		`Show what this bottle has now: the routes of cred-proxy, the hosts that pipelock lets through, and the Dockerfile of your container. `+
			`Look here before you ask for more. Answers at once.`, true,
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, configuration, error) {
			c, err := readCurrent(d.currentDir)
			return nil, configuration{
				Routes: entries(c.routes), Allowlist: orEmpty(c.allowlist), PrivateCIDRs: orEmpty(c.private), Dockerfile: c.dockerfile,
			}, err
		})
	addTool(server, proposalStatus, "Show your proposals",
		fmt.Sprintf(`Show what became of your last %d proposals: whether a human has answered, and what. `, maxStatus)+
			`Look here after other work, when a call returned pending or was interrupted. Answers at once.`, true,
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, statusList, error) {
			list, err := d.status()
			return nil, statusList{list}, err
		})
	return server
}

// blocks ends the description of a tool that asks a human.
const blocks = `Waits for a human's answer; if the status is pending, or the call ends without an answer, the proposal stays: call again later with the same arguments.`

func addProposalTools(server *mcp.Server, d *broker) {
	addTool(server, string(queue.CredProxyBlock), "Ask for other cred-proxy routes",
		`Ask a human to change the routes of cred-proxy, which adds a token to your requests to http://cred-proxy:9099/<path>/. `+
			`Use it when a service answers 401 or 403, or cred-proxy 404, because no route carries the right token. `+
			`Name a token by its slot, one of those that list-current-config shows; ask for others with secret-request. You never see tokens. `+
			blocks, false,
		handle(d, func(c current, known bool, in routesArguments) (request, string, error) {
			payload, err := c.routesPayload(in.Routes, known)
			return request{queue.CredProxyBlock, payload}, in.Justification, err
		}))
	addTool(server, string(queue.PipelockBlock), "Ask for a host",
		`Ask a human to let you reach a host. Use it when pipelock answered "403 blocked: domain not in allowlist". `+
			`On approval the URL's host joins the bottle's allowlist, and the request can be repeated. `+blocks, false,
		handle(d, func(c current, _ bool, in urlArguments) (request, string, error) {
			return request{queue.PipelockBlock, in.URL}, in.Justification, c.checkURL(in.URL)
		}))
	addTool(server, string(queue.SecretRequest), "Ask for a credential",
		`Ask a human to give your bottle a credential that it does not have, or a new one in place of one that the service rejects. You never see it: `+
			`on approval requests to http://cred-proxy:9099/<path>/ reach the upstream with it. Never ask for a credential in another way. `+blocks, false,
		handle(d, func(c current, _ bool, in secretArguments) (request, string, error) {
			payload, err := c.secretPayload(queue.Secret{Name: in.Name, Upstream: in.Upstream, Path: in.Path})
			return request{queue.SecretRequest, payload}, in.Justification, err
		}))
	addTool(server, string(queue.CapabilityBlock), "Ask for another container image",
		`Ask a human to rebuild your container from a new Dockerfile. Use it when a program or library is missing that you cannot install. `+
			`On approval your container is REPLACED: commit or save your work in the mounted directories first. `+blocks, false,
		handle(d, func(c current, known bool, in dockerfileArguments) (request, string, error) {
			return request{queue.CapabilityBlock, in.Dockerfile}, in.Justification, c.checkDockerfile(in.Dockerfile, known)
		}))
}

func addTool[In, Out any](server *mcp.Server, name, title, description string, readOnly bool, do mcp.ToolHandlerFor[In, Out]) {
	no := false
	mcp.AddTool(server, &mcp.Tool{
		Name: name, Title: title, Description: description, InputSchema: schemaOf[In](), OutputSchema: schemaOf[Out](),
		Annotations: &mcp.ToolAnnotations{Title: title, ReadOnlyHint: readOnly, DestructiveHint: &no, OpenWorldHint: &no, IdempotentHint: true},
	}, do)
}

// schemaOf returns the JSON Schema of a type. Lists are never null, since some models' APIs can't express that.
func schemaOf[T any]() *jsonschema.Schema {
	schema, err := jsonschema.For[T](nil)
	if err != nil {
		panic("supervise: a tool's type has no schema: " + err.Error()) // a mistake in this file
	}
	refuseNull(schema)
	return schema
}

func refuseNull(s *jsonschema.Schema) {
	if slices.Contains(s.Types, "array") {
		s.Type, s.Types = "array", nil
	}
	if s.Items != nil {
		refuseNull(s.Items)
	}
	for _, property := range s.Properties {
		refuseNull(property)
	}
}

// handle returns the handler of a tool that submits proposals. check validates its arguments against the current configuration, if that is
// known.
func handle[In any](d *broker, check func(c current, known bool, in In) (request, string, error)) mcp.ToolHandlerFor[In, decision] {
	return func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, decision, error) {
		has, err := readCurrent(d.currentDir)
		if err != nil && !errors.Is(err, errNoCurrentConfig) {
			return nil, decision{}, err
		}
		known := err == nil
		r, justification, err := check(has, known, in)
		justification = strings.TrimSpace(justification)
		err = errors.Join(err, queue.CheckText("justification", justification, queue.MaxJustification))
		if err != nil {
			return nil, decision{}, fmt.Errorf("not queued: %w", err)
		}
		c := callFrom(ctx)
		a, err := d.attach(r, justification, known && has.inForce(r))
		if err != nil {
			return nil, decision{}, err
		}
		c.releaseSlot()
		enough, stop := c.enough(req)
		defer stop()
		got, err := d.wait(c.ctx, a, enough, c.tick(), func() { c.keepAlive(ctx, req) })
		if err != nil {
			return nil, decision{}, err
		}
		if !got {
			return nil, decision{Status: pending, Notes: pendingNotes}, nil
		}
		c.onDelivery(func() { d.deliver(a.id) })
		return nil, decision{Status: string(a.answer.Status), Notes: a.answer.Notes}, nil
	}
}

// status returns the agent's proposals, the newest first.
func (d *broker) status() ([]proposal, error) {
	d.mu.Lock()
	entries, err := d.list()
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e queue.Entry) bool { return e.Answer != nil && e.Answer.Status == queue.Withdrawn })
	slices.Reverse(entries)
	list := []proposal{}
	for _, e := range entries[:min(len(entries), maxStatus)] {
		p := proposal{
			Tool: string(e.Proposal.Tool), Proposal: beginning(e.Proposal.Payload), Justification: e.Proposal.Justification,
			Created: e.Proposal.Created.UTC().Format(time.RFC3339), Status: pending,
		}
		if e.Answer != nil {
			p.Answered = e.Answer.Time.UTC().Format(time.RFC3339)
			p.Status, p.Notes = string(e.Answer.Status), e.Answer.Notes
		}
		list = append(list, p)
	}
	return list, nil
}

func beginning(text string) string {
	if len(text) <= maxShownBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxShownBytes], "") + "…"
}

// orEmpty returns a copy that is marshalled as [] if it is empty.
func orEmpty[T any](list []T) []T { return append([]T{}, list...) }
