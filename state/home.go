package state

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/manifests"
)

// HomeFile is a file that a container finds in its user's home, where the user may change it. It holds no secret.
type HomeFile struct {
	Path    string // below the home
	Content string
	// Merge keeps what a JSON file of the image says besides.
	Merge bool `json:",omitempty"`
}

// superviseTimeout is how long a client is told to wait for a human's answer.
const superviseTimeout = 24 * time.Hour

// homeFiles are what the programs of an agent need besides its environment to know its sidecars.
func (d desirer) homeFiles() ([]HomeFile, error) {
	var files []HomeFile
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
	return append(files, HomeFile{Path: ".config/tea/config.yml", Content: tea}), nil
}

// claudeFiles tell Claude Code of supervise: of all its projects (.claude.json), and of a project in the home or below it
// (.mcp.json), which the settings approve, so that nobody has to be there to do it.
func claudeFiles() ([]HomeFile, error) {
	type object = map[string]any
	servers := object{"mcpServers": object{string(Supervise): object{
		"type": "http", "url": superviseURL, "timeout": superviseTimeout.Milliseconds(),
	}}}
	settings := object{
		"enabledMcpjsonServers": []string{string(Supervise)},
		"permissions":           object{"allow": []string{"mcp__" + string(Supervise)}},
	}
	var files []HomeFile
	for _, f := range []struct {
		path    string
		content object
	}{{".claude.json", servers}, {".claude/settings.json", settings}, {".mcp.json", servers}} {
		text, err := json.MarshalIndent(f.content, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		files = append(files, HomeFile{Path: f.path, Content: string(text) + "\n", Merge: true})
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
func (d desirer) teaLogins() (string, error) {
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

// MergeJSON puts ours into a JSON object that is there: objects are merged, lists get the elements that they lack, and for
// anything else ours counts.
func MergeJSON(there, ours []byte) ([]byte, error) {
	var a, b map[string]any
	if err := json.Unmarshal(there, &a); err != nil {
		return nil, fmt.Errorf("what is there is no JSON object: %w", err)
	}
	if err := json.Unmarshal(ours, &b); err != nil {
		return nil, err
	}
	merged, err := json.MarshalIndent(mergeValues(a, b), "", "  ")
	return append(merged, '\n'), err
}

func mergeValues(there, ours any) any {
	switch ours := ours.(type) {
	case map[string]any:
		if there, ok := there.(map[string]any); ok && there != nil {
			for key, value := range ours {
				there[key] = mergeValues(there[key], value)
			}
			return there
		}
	case []any:
		if there, ok := there.([]any); ok {
			return mergeLists(there, ours)
		}
	}
	return ours
}

func mergeLists(there, ours []any) []any {
	for _, value := range ours {
		same := func(v any) bool { return reflect.DeepEqual(v, value) }
		if !slices.ContainsFunc(there, same) {
			there = append(there, value)
		}
	}
	return there
}
