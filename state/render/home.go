package render

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
)

// superviseTimeout is how long a client is told to wait for a human's answer.
const superviseTimeout = 24 * time.Hour

// homeFiles are what the programs of an agent need besides its environment to know its sidecars.
func (d renderer) homeFiles() ([]state.HomeFile, error) {
	var files []state.HomeFile
	if d.m.Spec.Supervise {
		claude, err := claudeFiles()
		if err != nil {
			return nil, err
		}
		files = claude
	}
	tea, err := d.teaLogins()
	if err != nil || tea == "" {
		return files, err
	}
	return append(files, state.HomeFile{Path: ".config/tea/config.yml", Content: tea}), nil
}

// claudeFiles tell Claude Code of supervise: of all its projects (.claude.json), and of a project in the home or below it
// (.mcp.json), which the settings approve, so that nobody has to be there to do it.
func claudeFiles() ([]state.HomeFile, error) {
	type object = map[string]any
	servers := object{"mcpServers": object{string(state.Supervise): object{
		"type": "http", "url": superviseURL, "timeout": superviseTimeout.Milliseconds(),
	}}}
	settings := object{
		"enabledMcpjsonServers": []string{string(state.Supervise)},
		"permissions":           object{"allow": []string{"mcp__" + string(state.Supervise)}},
	}
	var files []state.HomeFile
	for _, f := range []struct {
		path    string
		content object
	}{{".claude.json", servers}, {".claude/settings.json", settings}, {".mcp.json", servers}} {
		text, err := json.MarshalIndent(f.content, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		files = append(files, state.HomeFile{Path: f.path, Content: string(text) + "\n", Merge: true})
	}
	return files, nil
}

// teaLogin is an entry of the configuration file of tea, Gitea's command line client.
type teaLogin struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Token   string `json:"token"`
	Default bool   `json:"default"`
	SSHHost string `json:"ssh_host"` // by it tea knows the clones of a server
}

// teaLogins is that file, with a login for each route that has the role; "" when none has.
func (d renderer) teaLogins() (string, error) {
	var logins []teaLogin
	for _, r := range d.routesWith(manifests.RoleTeaLogin) {
		u, err := url.Parse(r.Upstream)
		if err != nil {
			return "", fmt.Errorf("tea's logins: %w", err)
		}
		logins = append(logins, teaLogin{
			Name: path.Base(r.Path), URL: strings.TrimSuffix(credProxyURL+r.Path, "/"), Token: placeholder, Default: len(logins) == 0, SSHHost: u.Hostname(),
		})
	}
	if logins == nil {
		return "", nil
	}
	text, err := yaml.Marshal(map[string]any{"logins": logins})
	if err != nil {
		return "", fmt.Errorf("tea's logins: %w", err)
	}
	return string(text), nil
}
