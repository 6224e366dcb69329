package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	const ours = `{"permissions": {"allow": ["mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`
	for name, c := range map[string]struct{ there, want string }{
		"nothing":                  {`{}`, ours},
		"other keys stay":          {`{"theme": "dark"}`, `{"theme": "dark", "permissions": {"allow": ["mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`},
		"inner keys stay":          {`{"permissions": {"deny": ["Bash"], "allow": ["Read"]}}`, `{"permissions": {"deny": ["Bash"], "allow": ["Read", "mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`},
		"nothing is put in twice":  {ours, ours},
		"another kind is replaced": {`{"permissions": null, "enabledMcpjsonServers": "x", "n": [2]}`, ours},
	} {
		got, err := merge("a.json", []byte(c.there), []byte(ours))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, err := merge("a.json", []byte("{}"), []byte(c.want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for _, there := range []string{"not JSON", "[]", `"text"`} {
		if _, err := merge("a.json", []byte(there), []byte(ours)); err == nil {
			t.Errorf("%s counts as an object", there)
		}
	}
}

func TestMergeTOML(t *testing.T) {
	const ours = "model_provider = \"cred-proxy\"\n\n[mcp_servers.supervise]\nurl = \"http://supervise:9100\"\n"
	const there = "model = \"gpt\"\nmodel_provider = \"openai\"\n[mcp_servers.docs]\ncommand = \"docs\" # theirs\n[[x]]\ny = 1\n"
	got, err := merge(".codex/config.toml", []byte(there), []byte(ours))
	if err != nil {
		t.Fatal(err)
	}
	want := `model = 'gpt'
model_provider = 'cred-proxy'

[mcp_servers]
[mcp_servers.docs]
command = 'docs'

[mcp_servers.supervise]
url = 'http://supervise:9100'

[[x]]
y = 1
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := merge("a.toml", []byte("not = = TOML"), []byte(ours)); err == nil {
		t.Error("what is no TOML is merged")
	}
}
