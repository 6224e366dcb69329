package clients

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// slug is the bottle's name.
const slug = "clients"

// hosts are those of command upstream.
var hosts = []string{"api.model.example", "git.example", "npm.example", "pypi.example", "goproxy.example", "cargo.example", "files.example", "docs.example"}

// bottle is the one that all rows run in.
type bottle struct {
	t        *testing.T
	env      *harness.Env
	upstream string // the container of the services
	token    string // what the routes add, and the agent never has
}

// in is the bottle as a subtest uses it.
func (b bottle) in(t *testing.T) bottle {
	b.t = t
	return b
}

func (b bottle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// newBottle starts the bottle, and services on its egress network.
func newBottle(t *testing.T) bottle {
	t.Helper()
	e := harness.New(t)
	b := bottle{t: t, env: e, upstream: e.Prefix + "-upstream"}
	certs := filepath.Join(e.Manifests, "certs")
	args := []string{"prepare", certs}
	for _, h := range hosts {
		args = append(args, "--host", h)
	}
	if out, err := exec.Command(harness.DemoBinary(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	token, err := os.ReadFile(filepath.Join(certs, "token"))
	b.must(err)
	b.token = strings.TrimSpace(string(token))
	e.Write("certs/login", "robot:"+b.token)
	ca, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	b.must(err)

	image := e.Image("clients", "USER 0\nADD root.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin:/goroot/bin\nUSER 1000:1000\n",
		map[string]string{"root.tar": b.root(string(ca))})
	e.Write(slug+".yaml", b.manifest(image))
	e.Reconcile(0)
	b.serve(certs, image)
	return b
}

// serve runs the services, whose git is the machine's.
func (b bottle) serve(certs, image string) {
	b.t.Helper()
	program := harness.Program(b.t, "cmd/e2e/clients/upstream")
	run := []string{
		"run", "-d", "--name", b.upstream, "--label", state.LabelOwner + "=" + b.env.Owner + "-guest",
		"--network", b.env.Network("egress", slug), "--user", "0", "-v", certs + ":/certs:ro", "-v", "/usr:/usr:ro",
		"-v", program + ":/upstream:ro", "--entrypoint", "/upstream",
	}
	for _, h := range hosts {
		run = append(run, "--network-alias", h)
	}
	b.env.Docker(append(run, image)...)
	b.t.Cleanup(func() { b.env.Docker("rm", "-f", b.upstream) })
}

// root is an archive of the agent's files, without /usr, which is the machine's. Among them is the services' authority, where programs
// look for those that they trust.
func (b bottle) root(ca string) string {
	b.t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		b.must(w.WriteHeader(&h))
		_, err := w.Write([]byte(content))
		b.must(err)
	}
	for _, name := range []string{"bin", "lib", "lib64"} { // not sbin: the engine mounts its init there, which /usr would hide
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name, Mode: 0o777}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, "")
	add(tar.Header{Typeflag: tar.TypeDir, Name: "home/agent/", Mode: 0o755, Uid: 1000, Gid: 1000}, "")
	java, err := os.ReadFile("testdata/Client.java")
	b.must(err)
	for name, content := range map[string]string{
		"programs/Client.java":              string(java),
		"etc/passwd":                        "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n",
		"etc/group":                         "root:x:0:\nagent:x:1000:\n",
		"etc/ssl/certs/ca-certificates.crt": ca,
	} {
		add(tar.Header{Name: name, Mode: 0o644}, content)
	}
	b.must(w.Close())
	return archive.String()
}

// manifest gives the machine's programs to an agent, and its bottle the routes and hosts that the rows use.
func (b bottle) manifest(image string) string {
	b.t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	b.must(err)
	mounts := []string{"/usr:/usr", "/etc/alternatives:/etc/alternatives", strings.TrimSpace(string(goroot)) + ":/goroot"}
	java, err := filepath.Glob("/etc/java-*-openjdk") // where /usr/lib/jvm/…/conf leads
	b.must(err)
	for _, dir := range java {
		mounts = append(mounts, dir+":"+dir)
	}
	var text strings.Builder
	for _, m := range mounts {
		source, target, _ := strings.Cut(m, ":")
		fmt.Fprintf(&text, "      - {source: %q, target: %q, readOnly: true, allowDangerous: true}\n", source, target)
	}
	return fmt.Sprintf(manifestText, b.env.Pool, image, text.String())
}

const manifestText = `apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: clients}
spec:
  egress:
    allowlist: [docs.example, files.example, pypi.example, goproxy.example]
    privateCIDRs: [%q]
    dlpExceptions: [{rule: jwt, route: /model/}]
  credProxy:
    caBundle: ./certs/ca.pem
    routes:
      - path: /model/
        upstream: https://api.model.example
        token: {file: ./certs/token}
        roles: [anthropic-base-url]
        headers: {anthropic-beta: oauth-2025-04-20}
        allowQuery: [key]
        maxRequestBody: 64Mi
      - {path: /openai/, upstream: "https://api.model.example", token: {file: ./certs/token}, roles: [openai-base-url]}
      - {path: /gemini/, upstream: "https://api.model.example", token: {file: ./certs/token}, authHeader: x-goog-api-key, roles: [gemini-base-url]}
      - {path: /npm/, upstream: "https://npm.example/registry/", token: {file: ./certs/token}, roles: [npm-registry]}
      - {path: /pypi/, upstream: "https://pypi.example/private", token: {file: ./certs/token}, roles: [pip-index]}
      - {path: /go/, upstream: "https://goproxy.example/private", token: {file: ./certs/token}, roles: [goproxy]}
      - {path: /crates/, upstream: "https://cargo.example/crates", token: {file: ./certs/token}, authHeader: Authorization, roles: [cargo-registry]}
      - {path: /git/, upstream: "https://git.example", token: {file: ./certs/login}, authScheme: Basic, roles: [git-insteadof]}
  agent:
    image: %q
    command: [agent]
    env:
      # How each program is told of the user's own certificate authority.
      NODE_EXTRA_CA_CERTS: /etc/ssl/certs/ca-certificates.crt
      REQUESTS_CA_BUNDLE: /etc/ssl/certs/ca-certificates.crt
      PIP_CERT: /etc/ssl/certs/ca-certificates.crt
      SSL_CERT_FILE: /etc/ssl/certs/ca-certificates.crt
      GOTOOLCHAIN: local
    mounts:
%s`
