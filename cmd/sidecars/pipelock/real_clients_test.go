package pipelock

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// javaClient asks for a URL, and prints the answer or the error.
const javaClient = `
import java.io.*; import java.net.*;
class Ask { public static void main(String[] a) {
  try { System.out.println(new String(new URL(a[0]).openStream().readAllBytes())); } catch (IOException e) { System.out.println(e); }
} }`

// nodeInside asks as undici did before April 2026, and so fetch in Node 22 and 24: through a tunnel for http, too.
const nodeInside = `
const http = require("http"), [proxy, authority] = process.argv.slice(1), [host, port] = proxy.split(":");
http.request({host, port, method: "CONNECT", path: authority, headers: {host: authority}}).on("connect", (answer, socket) => {
  if (answer.statusCode !== 200) return console.log(answer.statusCode + " " + answer.statusMessage);
  http.get({createConnection: () => socket, path: "/v1/models", headers: {host: authority}}, (r) => r.setEncoding("utf8").on("data", (d) => console.log(r.statusCode + " " + d)));
}).end();`

// TestRealClients: everyday clients do what their users expect, and show why something is refused. Tried with curl 7.88, git 2.39,
// Node 20, Python 3.11 and Java 17.
func TestRealClients(t *testing.T) {
	s := startSeenAt(t, inOwnNetwork, "cred-proxy")
	authority := strings.TrimPrefix(s.base, "http://")
	p := startProxy(t, withDLP("block", "cred-proxy"), map[string][]string{"cred-proxy": {inOwnNetwork}})
	p.names = &fakeResolver{}
	proxy := "http://" + p.addr
	java := filepath.Join(t.TempDir(), "Ask.java")
	if err := os.WriteFile(java, []byte(javaClient), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(p.addr, ":")
	const reason = "403 Blocked by sandbox policy: domain not in allowlist: evil.test (ask with pipelock-block)"
	for name, c := range map[string]struct {
		want    string
		command []string
	}{
		"curl":                         {"ok", []string{"curl", "-s", "-x", proxy, s.base + "/r/"}},
		"curl through a tunnel":        {"ok", []string{"curl", "-s", "-p", "-x", proxy, s.base + "/r/"}},
		"curl, a secret in a tunnel":   {"blocked: request body" + foundToken, []string{"curl", "-s", "-p", "-x", proxy, "-d", token(), s.base + "/r/"}},
		"curl, refused":                {reason, []string{"curl", "-sv", "-x", proxy, "https://evil.test/"}},
		"curl, WebSocket":              {"blocked: WebSocket over plain HTTP", []string{"curl", "-s", "-x", proxy, "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", s.base + "/"}},
		"curl, a whole URL with https": {"axios", []string{"curl", "-si", "--noproxy", "*", "--request-target", "https://evil.test/x", proxy + "/"}},
		"git, refused":                 {"response 403", []string{"git", "-c", "http.proxy=" + proxy, "ls-remote", "https://evil.test/a/b"}},
		"Node through a tunnel":        {"200 ok", []string{"node", "-e", nodeInside, p.addr, authority}},
		"Node, refused":                {reason, []string{"node", "-e", nodeInside, p.addr, "evil.test:443"}},
		"Python, refused":              {reason, []string{"python3", "-c", "import urllib.request as u; u.urlopen('https://evil.test/')"}},
		"Java":                         {"ok", []string{"java", "-Dhttp.proxyHost=" + host, "-Dhttp.proxyPort=" + port, java, s.base + "/r/"}},
		"Java, refused":                {reason, []string{"java", "-Dhttps.proxyHost=" + host, "-Dhttps.proxyPort=" + port, java, "https://evil.test/"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skip(err)
			}
			cmd := exec.CommandContext(t.Context(), c.command[0], c.command[1:]...)
			cmd.Env = append(os.Environ(), "http_proxy="+proxy, "https_proxy="+proxy, "no_proxy=", "NO_PROXY=", "GIT_TERMINAL_PROMPT=0")
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), c.want) {
				t.Errorf("%s: got %v\n%s\nwant %q", cmd, err, out, c.want)
			}
		})
	}
}
