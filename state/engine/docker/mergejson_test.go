package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMergeJSON(t *testing.T) {
	const ours = `{"permissions": {"allow": ["mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`
	for name, c := range map[string]struct{ there, want string }{
		"nothing":                  {`{}`, ours},
		"other keys stay":          {`{"theme": "dark"}`, `{"theme": "dark", "permissions": {"allow": ["mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`},
		"inner keys stay":          {`{"permissions": {"deny": ["Bash"], "allow": ["Read"]}}`, `{"permissions": {"deny": ["Bash"], "allow": ["Read", "mcp__supervise"]}, "enabledMcpjsonServers": ["supervise"], "n": 1}`},
		"nothing is put in twice":  {ours, ours},
		"another kind is replaced": {`{"permissions": null, "enabledMcpjsonServers": "x", "n": [2]}`, ours},
	} {
		got, err := MergeJSON([]byte(c.there), []byte(ours))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, err := MergeJSON([]byte("{}"), []byte(c.want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for _, there := range []string{"not JSON", "[]", `"text"`} {
		if _, err := MergeJSON([]byte(there), []byte(ours)); err == nil {
			t.Errorf("%s counts as an object", there)
		}
	}
}
