package pipelockconf

import (
	"strings"
	"testing"
)

const minimal = "mode: strict\napi_allowlist: [a.test]\nforward_proxy: {enabled: true}\n"

// TestRenderedParses: what the built-in image is given, it can carry out; what the official one is given
// asks for more.
func TestRenderedParses(t *testing.T) {
	for name, options := range variants {
		data, err := Render(options)
		if err != nil {
			t.Fatal(err)
		}
		config, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := config.Ranges(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := config.Unsupported(); (err != nil) != options.Official {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for data, want := range map[string]string{
		"":                                "EOF",
		minimal + "no_such_key: 1\n":      "field no_such_key not found",
		minimal + "agents: {}\n":          "need the official image",
		minimal + "API_Allowlist: []\n":   "field API_Allowlist not found",
		minimal + "mode: strict\n":        "already defined",
		minimal + "ssrf: {allow: []}\n":   "field allow not found",
		minimal + "---\nmode: audit\n":    "more than one YAML document",
		minimal + "---\n{\n":              "more than one YAML document",
		minimal + "enforce: perhaps\n":    "cannot unmarshal",
		"mode: strict\napi_allowlist: a:": "mapping values are not allowed",
		"- mode\n":                        "cannot unmarshal",
	} {
		if _, err := Parse([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", data, err, want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for more, want := range map[string]string{
		"":                                      "",
		"enforce: true\nexplain_blocks: true\n": "",
		"tls_interception: {enabled: false}\n":  "",
		"media_policy: {enabled: false}\n":      "",
		"request_body_scanning: {enabled: false}\ndlp: {scan_env: false}\n": "",
		"enforce: false\n": "detect without blocking",
		"request_body_scanning: {enabled: true, action: block}\n":          "",
		"dlp: {scan_env: true}\n":                                          "secrets of its environment",
		"response_scanning: {enabled: true}\n":                             "scan responses",
		"media_policy: {enabled: true}\n":                                  "filter media",
		"tls_interception: {enabled: true}\n":                              "intercept TLS",
		"fetch_proxy: {monitoring: {max_requests_per_minute: 60}}\n":       "limit request rates",
		"fetch_proxy: {monitoring: {max_requests_per_minute: 1000000000}}": "",
	} {
		checkUnsupported(t, minimal+more, want)
	}
	checkUnsupported(t, strings.Replace(minimal, "strict", "balanced", 1), `mode "balanced"`)
	checkUnsupported(t, strings.Replace(minimal, "mode: strict\n", "", 1), `mode ""`)
	checkUnsupported(t, strings.Replace(minimal, "enabled: true", "enabled: false", 1), "forward_proxy.enabled")
	checkUnsupported(t, strings.Replace(minimal, "enabled: true", "enabled: true, sni_verification: false", 1), "leave server names unverified")
	checkUnsupported(t, strings.Replace(minimal, "enabled: true", "enabled: true, sni_verification: true", 1), "")
}

func checkUnsupported(t *testing.T, data, want string) {
	t.Helper()
	config, err := Parse([]byte(data))
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	err = config.Unsupported()
	if want == "" {
		if err != nil {
			t.Errorf("%q: %v", data, err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), Remedy) {
		t.Errorf("%q: got %v, want %q and the remedy", data, err, want)
	}
}

func TestRangesRefuses(t *testing.T) {
	for _, bad := range []string{"10.0.0.0", "10.0.0.5/24", "0.0.0.0/0", "::/0", "10.0.0.0/33", "x"} {
		config := &Config{SSRF: SSRF{IPAllowlist: []string{bad}}}
		if _, err := config.Ranges(); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
