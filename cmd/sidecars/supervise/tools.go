package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/routesconf"
)

const (
	maxURLBytes        = 4 << 10
	maxDockerfileBytes = 64 << 10
)

const instructions = `You run in a bottle: a sandbox without internet, except for what its human allows. ` +
	`When the bottle stops you from doing your task, ask for more with one of these tools. Each call waits until a ` +
	`human has answered, which may take hours; that is normal, so do not give up and do not look for a way around. ` +
	`What you have now is in /etc/claude-bottle/current-config (routes.json, allowlist, Dockerfile). ` +
	`Ask for the least that you need, and say why.`

// The result of every tool.
type decision struct {
	Status string `json:"status" jsonschema:"approved: it will be done as proposed; modified: it will be done differently, see notes; rejected: it will not be done"`
	Notes  string `json:"notes" jsonschema:"what the human has to say about it; may be empty"`
}

type routesArguments struct {
	// An array and not a JSON text: models fill in a described structure more reliably than they escape
	// JSON within JSON, and the schema tells them what was wrong.
	Routes        []routesconf.Route `json:"routes" jsonschema:"every route that the bottle shall have afterwards, in the form of current-config/routes.json: the present ones that stay, unchanged, and the new ones"`
	Justification string             `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

type urlArguments struct {
	URL           string `json:"url" jsonschema:"the URL that was refused, like https://api.example.com/v1; only its host is what you are asking for"`
	Justification string `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

type dockerfileArguments struct {
	Dockerfile    string `json:"dockerfile" jsonschema:"the whole new Dockerfile of your container; begin with current-config/Dockerfile and add what is missing"`
	Justification string `json:"justification" jsonschema:"for the human: what you are doing, and why it needs this"`
}

func newServer(d *desk) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "supervise", Title: "bottled supervise", Version: "1"},
		&mcp.ServerOptions{Instructions: instructions, Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}})
	mcp.AddTool(server, describe(queue.CredProxyBlock, "Ask for other cred-proxy routes",
		`Ask a human to change the routes of cred-proxy, which adds a token to your requests to http://cred-proxy:9099/<path>/. `+
			`Use it when a service answers 401 or 403, or cred-proxy 404, because no route carries the right token. `+
			`Name a token by its slot; you never see tokens. Blocks until a human has answered.`),
		handle(d, func(in routesArguments) (request, string, error) {
			payload, err := routesPayload(in.Routes)
			return request{queue.CredProxyBlock, payload}, in.Justification, err
		}))
	mcp.AddTool(server, describe(queue.PipelockBlock, "Ask for a host",
		`Ask a human to let you reach a host. Use it when pipelock answered "403 blocked: domain not in allowlist". `+
			`On approval the URL's host joins the bottle's allowlist, and the request can be repeated. Blocks until a human has answered.`),
		handle(d, func(in urlArguments) (request, string, error) {
			return request{queue.PipelockBlock, in.URL}, in.Justification, checkURL(in.URL)
		}))
	mcp.AddTool(server, describe(queue.CapabilityBlock, "Ask for another container image",
		`Ask a human to rebuild your container from a new Dockerfile. Use it when a program or library is missing that you cannot install. `+
			`On approval your container is REPLACED: commit or save your work in the mounted directories first. Blocks until a human has answered.`),
		handle(d, func(in dockerfileArguments) (request, string, error) {
			return request{queue.CapabilityBlock, in.Dockerfile}, in.Justification, checkDockerfile(in.Dockerfile)
		}))
	return server
}

func describe(name queue.Tool, title, description string) *mcp.Tool {
	no := false
	return &mcp.Tool{
		Name: string(name), Title: title, Description: description,
		Annotations: &mcp.ToolAnnotations{Title: title, DestructiveHint: &no, OpenWorldHint: &no, IdempotentHint: true},
	}
}

// handle makes a tool out of a function that checks its arguments.
func handle[In any](d *desk, check func(In) (request, string, error)) mcp.ToolHandlerFor[In, decision] {
	return func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, decision, error) {
		r, justification, err := check(in)
		justification = strings.TrimSpace(justification)
		err = errors.Join(err, queue.CheckText("justification", justification, queue.MaxJustification))
		if err != nil {
			return nil, decision{}, fmt.Errorf("not queued: %w", err)
		}
		c := callFrom(ctx)
		a, err := d.wait(c.ctx, r, justification, c.tick(), func() { c.beat(ctx, req) })
		if err != nil {
			return nil, decision{}, err
		}
		c.onDelivery(func() { d.delivered(a.id) })
		return nil, decision{Status: string(a.answer.Status), Notes: a.answer.Notes}, nil
	}
}

// routesPayload uses the parser that cred-proxy and the controller use.
func routesPayload(routes []routesconf.Route) (string, error) {
	if routes == nil {
		return "", errors.New("routes is missing; to have no routes at all propose an empty array")
	}
	data, err := routesconf.File{Routes: routes}.Render()
	if err != nil {
		return "", err
	}
	return string(data), nil
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func checkURL(text string) error {
	if err := queue.CheckText("url", text, maxURLBytes); err != nil {
		return err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("url cannot be parsed; write it like https://api.example.com/v1")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("url must begin with https:// or http://")
	case u.User != nil:
		return errors.New("url must not hold a user name or password; they would be shown and kept")
	case net.ParseIP(u.Hostname()) == nil && !hostPattern.MatchString(u.Hostname()):
		return errors.New("url must have a host name of letters, digits, dots and dashes (international names in their xn-- form)")
	}
	return nil
}

// checkDockerfile finds what is no Dockerfile at all. The build is what checks the rest.
func checkDockerfile(text string) error {
	if err := queue.CheckText("dockerfile", text, maxDockerfileBytes); err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if keyword := strings.ToUpper(words[0]); !slices.Contains([]string{"FROM", "ARG"}, keyword) {
			return fmt.Errorf("dockerfile must begin with FROM (or ARG), not with %.32q", words[0])
		}
		if len(words) > 1 && strings.EqualFold(words[0], "FROM") {
			return nil
		}
	}
	return errors.New("dockerfile has no FROM")
}
