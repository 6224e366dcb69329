package supervise

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
)

// answerTimeout is the client's timeout while it waits for a human's answer.
const answerTimeout = 24 * time.Hour

// forAgent mounts the current configuration for the agent, and configures Claude Code, Codex, Gemini CLI and OpenCode to use the MCP server.
func forAgent(c component.Context) (component.AgentSetup, error) {
	current, err := currentConfig(c)
	if err != nil {
		return component.AgentSetup{}, err
	}
	home, err := claudeFiles()
	if err != nil {
		return component.AgentSetup{}, err
	}
	gemini, err := geminiSettings()
	if err != nil {
		return component.AgentSetup{}, err
	}
	openCode, err := openCodeConfig()
	return component.AgentSetup{
		Home: home, AddedHome: []state.HomeFile{codexConfig(), gemini, openCode},
		Mounts: []state.Mount{mountCurrent(current)}, Dirs: []state.Dir{current},
	}, err
}

type object = map[string]any

// claudeFiles configure Claude Code to use supervise: for all its projects (.claude.json), and for a project in the home or below it
// (.mcp.json), which the settings approve, so that nobody has to be there to do it.
func claudeFiles() ([]state.HomeFile, error) {
	const name = contract.SuperviseName
	servers := object{"mcpServers": object{name: object{"type": "http", "url": contract.Supervise.URL(), "timeout": answerTimeout.Milliseconds()}}}
	settings := object{
		"enabledMcpjsonServers": []string{name},
		"permissions":           object{"allow": []string{"mcp__" + name}},
	}
	var files []state.HomeFile
	for _, f := range []struct {
		path    string
		content object
	}{{".claude.json", servers}, {".claude/settings.json", settings}, {".mcp.json", servers}} {
		file, err := jsonFile(f.path, f.content)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// codexConfig configures Codex (https://developers.openai.com/codex/mcp).
func codexConfig() state.HomeFile {
	const table = "[mcp_servers.%s]\nurl = \"%s\"\ntool_timeout_sec = %d\n"
	content := fmt.Sprintf(table, contract.SuperviseName, contract.Supervise.URL(), int(answerTimeout.Seconds()))
	return state.HomeFile{Path: ".codex/config.toml", Content: content, Merge: true}
}

// geminiSettings configure Gemini CLI (https://geminicli.com/docs/tools/mcp-server/). A server that is trusted is used without asking.
func geminiSettings() (state.HomeFile, error) {
	server := object{"httpUrl": contract.Supervise.URL(), "timeout": answerTimeout.Milliseconds(), "trust": true}
	return jsonFile(".gemini/settings.json", object{"mcpServers": object{contract.SuperviseName: server}})
}

// openCodeConfig configures OpenCode (https://opencode.ai/docs/mcp-servers/), version 1 and 2, which reads the first one's form, too. Version
// 1 writes the schema's address into files that lack it.
func openCodeConfig() (state.HomeFile, error) {
	server := object{"type": "remote", "url": contract.Supervise.URL(), "enabled": true, "timeout": answerTimeout.Milliseconds()}
	return jsonFile(".config/opencode/opencode.json", object{"$schema": "https://opencode.ai/config.json", "mcp": object{contract.SuperviseName: server}})
}

// jsonFile is a file that is merged into the image's.
func jsonFile(path string, content object) (state.HomeFile, error) {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return state.HomeFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return state.HomeFile{Path: path, Content: string(text) + "\n", Merge: true}, nil
}
