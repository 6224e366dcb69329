package supervise

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	maxURLBytes        = 4 << 10
	maxDockerfileBytes = 64 << 10
	// maxProblems is the number of problems in one error.
	maxProblems = 10
)

// routesPayload returns the proposed routes.json. In addition to the rules of a manifest, an agent can only refer to tokens that the bottle
// has.
func (c current) routesPayload(proposed []route.Entry, known bool) (string, error) {
	if proposed == nil {
		return "", errors.New("routes is missing; to have no routes at all propose an empty array")
	}
	routes := make([]route.Route, len(proposed))
	for i, entry := range proposed {
		routes[i] = entry.Route()
	}
	private, err := c.ranges()
	if err != nil {
		return "", err
	}
	if err := errorOf(route.CheckProposal(routes, private)); err != nil {
		return "", err
	}
	if err := c.checkSlots(routes); known && err != nil {
		return "", err
	}
	data, err := route.Render(routes)
	if err != nil {
		return "", err
	}
	return string(data), queue.CheckText("routes", string(data), queue.MaxPayload)
}

// secretPayload returns the request for a secret. Its route obeys the rules of a manifest's; the path of a new one is not another's.
func (c current) secretPayload(s queue.Secret) (string, error) {
	private, err := c.ranges()
	if err != nil {
		return "", err
	}
	isSlot := slices.ContainsFunc(c.routes, func(r route.Route) bool { return r.TokenSlot == s.Name })
	switch {
	case !secretName.MatchString(s.Name):
		return "", errors.New("name: it is not a word; write letters, digits, dashes and underscores, at most 63, like github")
	case isSlot && !strings.HasPrefix(s.Name, "file-"):
		return "", fmt.Errorf("name: the token of %s comes from where only your human can change it; ask outside of this tool", s.Name)
	case isSlot && s.Path != "":
		return "", errors.New("path: the route of this token has one already; leave it out")
	}
	asked := route.Route{Path: s.RoutePath(), Upstream: s.Upstream, AuthScheme: "Bearer", TokenSlot: s.Name}
	problems := route.CheckProposal([]route.Route{asked}, private)
	if len(problems) == 0 && !isSlot {
		problems = route.CheckProposal(append(c.otherRoutes(asked), asked), private)
	}
	for i := range problems {
		if _, key, below := strings.Cut(problems[i].Field, "]."); below {
			problems[i].Field = key
		}
	}
	if err := errorOf(problems); err != nil {
		return "", err
	}
	return s.Payload()
}

// secretName matches names of secrets, which may become names of files.
var secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// otherRoutes are the routes that stay beside one for a secret: a request for the same path and upstream is for a new secret in place of the
// present one.
func (c current) otherRoutes(asked route.Route) []route.Route {
	return slices.DeleteFunc(slices.Clone(c.routes), func(r route.Route) bool { return r.Path == asked.Path && r.Upstream == asked.Upstream })
}

// errorOf returns the first maxProblems problems as one error.
func errorOf(problems []route.Problem) error {
	var errs []error
	for _, p := range problems[:min(len(problems), maxProblems)] {
		errs = append(errs, p)
	}
	if more := len(problems) - maxProblems; more > 0 {
		errs = append(errs, fmt.Errorf("and %d more problems", more))
	}
	return errors.Join(errs...)
}

func entries(routes []route.Route) []route.Entry {
	list := make([]route.Entry, len(routes))
	for i, r := range routes {
		list[i] = route.EntryOf(r)
	}
	return list
}

// ranges returns the ranges of reachable private addresses.
func (c current) ranges() ([]netip.Prefix, error) {
	var ranges []netip.Prefix
	for _, text := range c.private {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("current configuration: private-cidrs: %w", err)
		}
		ranges = append(ranges, prefix)
	}
	return ranges, nil
}

// checkSlots refuses tokens that the bottle does not have, so that an agent can't guess names.
func (c current) checkSlots(routes []route.Route) error {
	var slots []string
	for _, r := range c.routes {
		slots = append(slots, r.TokenSlot)
	}
	slices.Sort(slots)
	slots = slices.Compact(slots)
	for i, r := range routes {
		switch {
		case slices.Contains(slots, r.TokenSlot):
		case len(slots) == 0:
			return errors.New("this bottle has no token, so a route can have none; ask for one with secret-request")
		default:
			return fmt.Errorf("routes[%d].token_slot: %.128q is not a token of this bottle; it has %s. Ask for another one with secret-request",
				i, r.TokenSlot, strings.Join(slots, ", "))
		}
	}
	return nil
}

// checkURL validates the host of a URL as an entry of the allowlist.
func (c current) checkURL(text string) error {
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
	}
	private, err := c.ranges()
	if err != nil {
		return err
	}
	host := u.Hostname()
	if f := cmp.Or(scalar.CheckText(host), scalar.CheckAllowed(host, private)); f != nil {
		return fmt.Errorf("url: %s; %s", f.Reason, f.Fix)
	}
	if strings.Contains(host, "*") {
		return errors.New("url: it has a *; name the host that was refused")
	}
	return nil
}

// checkDockerfile parses the file as the builder does. The build may still fail.
func (c current) checkDockerfile(text string, known bool) error {
	if known && c.dockerfile == "" {
		return errors.New("the agent of this bottle is not built by bottled, so there is no image to change; ask your human, outside of this tool")
	}
	if err := queue.CheckText("dockerfile", text, maxDockerfileBytes); err != nil {
		return err
	}
	parsed, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("dockerfile: %w", err)
	}
	if err := checkFrontend(text); err != nil {
		return err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return fmt.Errorf("dockerfile: %w", err)
	}
	if len(stages) == 0 {
		return errors.New("dockerfile has no FROM")
	}
	return nil
}

// frontendPattern matches the Dockerfile frontends that Docker publishes.
var frontendPattern = regexp.MustCompile(`^(docker\.io/)?docker/dockerfile(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$`)

// checkFrontend refuses a file with another frontend, which could build something else than what the human approved. It finds more
// directives than BuildKit does, since BuildKit's versions differ in what they accept as one.
func checkFrontend(text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		comment, is := cutComment(strings.TrimSpace(line))
		key, value, _ := strings.Cut(comment, "=")
		if is && strings.EqualFold(strings.TrimSpace(key), "syntax") && !frontendPattern.MatchString(strings.TrimSpace(value)) {
			return errors.New("dockerfile: its syntax line must name docker/dockerfile, or be left out")
		}
	}
	return nil
}

func cutComment(line string) (string, bool) {
	if comment, is := strings.CutPrefix(line, "#"); is {
		return comment, true
	}
	return strings.CutPrefix(line, "//")
}
