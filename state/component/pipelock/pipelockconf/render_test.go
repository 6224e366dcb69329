package pipelockconf

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/golden"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

var variants = map[string]Options{
	"builtin": {
		Allowlist:   []string{"api.github.com", "*.npmjs.org", "cred-proxy", "supervise"},
		IPAllowlist: prefixes("10.201.0.16/28"),
	},
	"builtin-empty": {},
	"official": {
		Allowlist:   []string{"supervise", "api.github.com", "api.github.com", "cred-proxy"},
		IPAllowlist: prefixes("192.168.7.0/24", "10.201.0.16/28", "10.201.0.16/28"),
		Official:    true,
	},
	"builtin-large-bodies": {Allowlist: []string{"cred-proxy"}, MaxRequestBody: 1 << 30},
	"builtin-exceptions": {Allowlist: []string{"cred-proxy"}, Exceptions: []Suppress{
		{"jwt", "http://docs.example.com/"}, {"jwt", "http://cred-proxy:9099/openai/"}, {"private-key", "http://cred-proxy:9099/openai/"}, {"jwt", "http://docs.example.com/"},
	}},
	"builtin-warn": {Allowlist: []string{"git.example.com:8443", "*.example.com", "[fd00:1::7]:8443"}, DLPAction: ActionWarn},
	"official-warn": {
		Allowlist:   []string{"api.github.com"},
		IPAllowlist: prefixes("10.201.0.16/28", "fd00:1::/64"),
		DLPAction:   ActionWarn,
		Official:    true,
	},
	"official-block-empty": {DLPAction: ActionBlock, Official: true},
}

func TestRenderGolden(t *testing.T) {
	for name, options := range variants {
		t.Run(name, func(t *testing.T) {
			got, err := Render(options)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/"+name+".yaml", string(got))
		})
	}
}

// TestRenderKeys holds what is rendered, in every variant, against the official schema, types too; and
// the list has no key that nothing renders.
func TestRenderKeys(t *testing.T) {
	schema := readKeys(t)
	unused := maps.Clone(schema)
	for name, options := range variants {
		data, err := Render(options)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := yaml.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for key, kind := range leaves("", file) {
			if schema[key] != kind {
				t.Errorf("%s: %s is a %s, the schema has %q", name, key, kind, schema[key])
			}
			delete(unused, key)
		}
	}
	for key := range unused {
		t.Errorf("nothing renders %s", key)
	}
}

func readKeys(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, kind, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key != "#" {
			keys[key] = strings.TrimSpace(kind)
		}
	}
	return keys
}

func leaves(prefix string, section map[string]any) map[string]string {
	all := map[string]string{}
	for key, value := range section {
		switch value := value.(type) {
		case map[string]any:
			maps.Copy(all, leaves(prefix+key+".", value))
		case []any:
			kind := "[]string"
			for _, item := range value {
				if _, ok := item.(string); !ok {
					kind = fmt.Sprintf("[]%T", item)
				}
			}
			all[prefix+key] = kind
		default:
			all[prefix+key] = fmt.Sprintf("%T", value)
		}
	}
	return all
}

// TestRenderIsOrderless: equal sets give equal files, and the options stay as they are.
func TestRenderIsOrderless(t *testing.T) {
	o := variants["official"]
	want, err := Render(o)
	if err != nil {
		t.Fatal(err)
	}
	reversed := Options{Allowlist: slices.Clone(o.Allowlist), IPAllowlist: slices.Clone(o.IPAllowlist), Official: true}
	slices.Reverse(reversed.Allowlist)
	slices.Reverse(reversed.IPAllowlist)
	before := slices.Clone(reversed.Allowlist)
	got, err := Render(reversed)
	if err != nil || string(got) != string(want) {
		t.Errorf("%v\n%s", err, got)
	}
	if !slices.Equal(before, reversed.Allowlist) {
		t.Error("Render changed its input")
	}
}

// TestRenderConstantKeys: the official program rejects a reload that changes these, so they must not
// depend on the allowlist, which is what reloads change.
func TestRenderConstantKeys(t *testing.T) {
	var configs []*Config
	for _, allow := range [][]string{nil, {"a.test"}, {"*.a.test", "b.test", "cred-proxy", "supervise"}} {
		data, err := Render(Options{Allowlist: allow, Official: true})
		if err != nil {
			t.Fatal(err)
		}
		config, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(config.APIAllowlist) == 0 {
			t.Errorf("%q: strict mode needs an entry", allow)
		}
		config.APIAllowlist = nil
		configs = append(configs, config)
	}
	for _, config := range configs[1:] {
		if got, want := mustYAML(t, config), mustYAML(t, configs[0]); got != want {
			t.Errorf("more than the allowlist differs:\n%s\n%s", got, want)
		}
	}
}

func mustYAML(t *testing.T, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRenderRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		`dlpAction "strip" is neither`:         {DLPAction: "strip"},
		`"*.a.test:8443" would match nothing`:  {Official: true, Allowlist: []string{"fd00::1", "*.a.test:8443"}},
		`"[fd00::1]:443" would match nothing`:  {Official: true, Allowlist: []string{"[fd00::1]:443"}},
		"0.0.0.0/0 would allow every address":  {IPAllowlist: prefixes("0.0.0.0/0")},
		"write 10.0.0.0/24":                    {IPAllowlist: prefixes("10.0.0.5/24")},
		"suppress: pipelock 2.3.0 has no rule": {Official: true, Exceptions: []Suppress{{"jwt", "http://a.test/"}}},
		"max_body_bytes: 33554433 is more":     {Official: true, MaxRequestBody: 32<<20 + 1},
		"an invalid range":                     {IPAllowlist: []netip.Prefix{{}}},
	} {
		if got, err := Render(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v\n%s", want, err, got)
		}
	}
}
