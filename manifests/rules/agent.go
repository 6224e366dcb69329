package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

func validateAgent(d *parse.Document) {
	agent := d.Bottle.Spec.Agent
	validateImage(d, agent)
	validateCommand(d, v1alpha1.AgentField+".command", agent.Command)
	validateEnv(d, agent)
	targets := validateMounts(d, agent.Mounts)
	validateVolumes(d, v1alpha1.VolumesField, agent.Volumes, targets)
	validateResources(d, v1alpha1.AgentField+".resources", agent.Resources)
	validateRestart(d, agent)
	validateContainer(d, agent, targets)
	validatePorts(d, agent.Ports)
	if field := v1alpha1.AgentField + ".runtime"; d.Given(field) && !runtimePattern.Matches(agent.Runtime) {
		d.Report(field, scalar.Quote(agent.Runtime)+" is not the name of a runtime", "write a name that `docker info` lists under Runtimes, like runsc")
	}
}

func validateCommand(d *parse.Document, field string, command []string) {
	for i, word := range command {
		if at := parse.ElementOf(field, i); d.Given(at) && word == "" {
			d.Report(at, "the word is empty", "remove it; the first word is the program, the others are its arguments")
		}
	}
}

func checkImage(image string) *scalar.Fault {
	_, err := reference.ParseNormalizedNamed(image)
	switch {
	case err == nil:
		return nil
	case image == "":
		return scalar.NewFault("the image is empty", "write NAME:TAG, like my-agent:latest")
	case strings.Contains(image, "://"):
		return scalar.NewFault("it is a URL, not an image", "write REGISTRY/NAME:TAG without a scheme")
	case errors.Is(err, reference.ErrNameContainsUppercase):
		return scalar.NewFault("the image's name has upper-case letters", "write the part before the tag in lower case")
	}
	return scalar.NewFault("it is not a reference of an image", "write NAME:TAG or REGISTRY/NAME:TAG, like my-agent:latest, with an optional @sha256:DIGEST")
}

// proxyVariables lead the agent to pipelock. Programs read them in both cases.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}

// roleVariables are what bottled sets in the agent for a route with the role.
var roleVariables = map[route.Role][]string{
	route.RoleAnthropicBaseURL: {"ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"},
	route.RoleNPMRegistry:      {"NPM_CONFIG_REGISTRY", "NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED"},
	route.RoleOpenAIBaseURL:    {"OPENAI_BASE_URL", "OPENAI_API_KEY"},
	route.RoleGeminiBaseURL:    {"GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"},
	route.RolePipIndex:         {"PIP_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX"},
	route.RoleGoProxy:          {"GOPROXY"},
	route.RoleGitInsteadOf:     {"GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"},
}

// settersOf says of every variable that the bottle's roles set which role does.
func settersOf(b v1alpha1.Bottle) map[string]string {
	setters := map[string]string{}
	for _, name := range proxyVariables {
		setters[name] = "bottled, so that the agent uses pipelock"
	}
	if b.Spec.CredProxy == nil {
		return setters
	}
	for i, r := range b.Spec.CredProxy.Routes {
		for _, role := range r.Roles {
			for _, name := range roleVariables[role] {
				setters[name] = fmt.Sprintf("the role %s of %s", role, parse.ElementOf(v1alpha1.RoutesField, i))
			}
		}
	}
	return setters
}

// family is the name under which settersOf knows a variable: in capitals, since programs read some of
// them in both cases, and without the number at the end of GIT_CONFIG_KEY_0.
func family(name string) string {
	return strings.TrimRight(strings.ToUpper(name), "0123456789")
}
