package credproxy

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// setAnthropic leads Claude Code and Anthropic's libraries to a route.
func setAnthropic(r route.Route, setup *component.AgentSetup) {
	setup.Env["ANTHROPIC_BASE_URL"], setup.Env["ANTHROPIC_AUTH_TOKEN"] = urlOf(r), contract.Placeholder
}

// codexProvider is Codex's own configuration. It takes the base URL of OpenAI from no variable, and asks for a login unless the provider
// names the variable of its key (https://developers.openai.com/codex/config-advanced). A provider of this kind is asked without WebSocket.
const codexProvider = `model_provider = "cred-proxy"

[model_providers.cred-proxy]
name = "OpenAI"
base_url = "%s"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
`

// setOpenAI leads OpenAI's libraries, programs that use them, and Codex to a route. Their base URL ends with the version of the API,
// which an upstream without a path lacks: https://api.openai.com stands for https://api.openai.com/v1, the libraries' default.
func setOpenAI(r route.Route, setup *component.AgentSetup) {
	base := strings.TrimSuffix(urlOf(r), "/")
	if u, err := url.Parse(r.Upstream); err == nil && strings.Trim(u.Path, "/") == "" {
		base += "/v1"
	}
	setup.Env["OPENAI_BASE_URL"], setup.Env["OPENAI_API_KEY"] = base, contract.Placeholder
	setup.Home = append(setup.Home, state.HomeFile{Path: ".codex/config.toml", Content: fmt.Sprintf(codexProvider, base), Merge: true})
}

// geminiSettings have Gemini CLI use the key in the environment without asking for a way to log in.
const geminiSettings = `{"security": {"auth": {"selectedType": "gemini-api-key"}}}
`

// setGemini leads Gemini CLI and Google's libraries to a route. They append the version of the API themselves.
func setGemini(r route.Route, setup *component.AgentSetup) {
	setup.Env["GOOGLE_GEMINI_BASE_URL"], setup.Env["GEMINI_API_KEY"] = strings.TrimSuffix(urlOf(r), "/"), contract.Placeholder
	setup.Home = append(setup.Home, state.HomeFile{Path: ".gemini/settings.json", Content: geminiSettings, Merge: true})
}
