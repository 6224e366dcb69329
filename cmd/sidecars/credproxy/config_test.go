package credproxy

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	model "github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/configdigest"
)

func TestBadConfigurationKeepsTheOldOne(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	digest := b.loader.table.Load().digest
	tests := map[string]struct {
		file, content, want string
	}{
		"not JSON":        {routesFile, "{", "routes.json"},
		"unknown key":     {routesFile, `{"routes":[],"x":1}`, "unknown field"},
		"large":           {routesFile, strings.Repeat(" ", model.MaxBytes+1), "larger than"},
		"no certificate":  {caFile, "hello", "not a PEM file"},
		"blank ca":        {caFile, "\n", "not a PEM file"},
		"empty ca":        {caFile, "", "not a PEM file"},
		"a private key":   {caFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(marker)})), "only certificates"},
		"bad certificate": {caFile, string(u.ca()) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "certificate 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(b.dirs.config, test.file)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b.write(b.dirs.config, test.file, test.content)
			_, err = b.loader.load()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("load: %v; want %q", err, test.want)
			}
			if err != nil {
				noSecret(t, "error", err.Error())
			}
			if got := b.loader.table.Load().digest; got != digest {
				t.Errorf("digest in force is %s; want the old one", got)
			}
			if resp := b.get("/a/"); resp.StatusCode != http.StatusOK {
				t.Errorf("the old route answers %s", resp.Status)
			}
			b.write(b.dirs.config, test.file, string(good))
		})
	}
	if err := os.Remove(filepath.Join(b.dirs.config, routesFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.loader.load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("load without routes.json: %v; want not-exist", err)
	}
}

func TestReload(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		// The token's variant only, since the bench looks for the marker in bodies.
		_, variant, _ := strings.Cut(r.Header.Get("Authorization"), marker)
		_, _ = io.WriteString(w, "token"+variant)
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	digest := b.digest()

	b.reload()
	b.write(b.dirs.token, "t", marker+"2")
	b.reload()
	if b.digest() != digest {
		t.Error("the token is part of the digest")
	}
	if resp := b.get("/a/"); resp.body != "token2" {
		t.Errorf("after the token's change: %q", resp.body)
	}
	if err := os.Remove(filepath.Join(b.dirs.token, "t")); err != nil {
		t.Fatal(err)
	}
	b.reload()
	if resp := b.get("/a/", "Authorization: Bearer own"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without token: %s; want 503 and not the client's own credential", resp.Status)
	}
	b.reload()
	b.write(b.dirs.token, "t", marker)
	b.routes(to("/a/", u.URL), to("/b/", u.URL))
	b.reload()
	before := b.upstreams()
	b.routes(to("/b/", u.URL), to("/a/", u.URL), to("/c/", u.URL))
	b.reload()
	if resp := b.get("/b/"); resp.StatusCode != http.StatusOK {
		t.Errorf("new route: %s", resp.Status)
	}
	if b.upstreams() != before {
		t.Error("the upstreams, and their connections, did not outlive a reload that left the roots alone")
	}
	if got := b.pipelock.requests(); len(got) != 2 {
		t.Errorf("pipelock saw %q; want a connection for each route that was used", got)
	}
}

func TestReloadOfRoots(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	before := b.upstreams()
	b.write(b.dirs.config, caFile, string(newUpstream(t, nil).ca())+string(u.ca()))
	b.reload()
	if b.upstreams() == before {
		t.Error("the upstreams are judged by the old roots")
	}
	if err := os.Remove(filepath.Join(b.dirs.config, caFile)); err != nil {
		t.Fatal(err)
	}
	b.reload()
	if resp := b.get("/a/"); resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.body, "unknown authority") {
		t.Errorf("without ca.pem: %s %s; want an untrusted upstream", resp.Status, resp.body)
	}
}

// reload loads the configuration, whose digest must be the controller's.
func (b *bench) reload() {
	b.t.Helper()
	loaded, err := b.loader.load()
	if err != nil {
		b.t.Fatal(err)
	}
	if want := b.digest(); loaded.Digest != want {
		b.t.Errorf("digest %s; want %s", loaded.Digest, want)
	}
}

func (b *bench) upstreams() *upstreams { return b.loader.table.Load().at("/a/").upstreams }

// digest is what the controller computes.
func (b *bench) digest() string {
	b.t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{routesFile, caFile, allowlistFile} {
		data, err := os.ReadFile(filepath.Join(b.dirs.config, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		files[name] = data
	}
	return configdigest.Of(files)
}

func TestOpenStreamSurvivesReloads(t *testing.T) {
	next := make(chan string)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		for text := range next {
			if _, err := io.WriteString(w, text+"\n"); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	})
	b := newBench(t, u.ca(), to("/a/", u.URL))
	resp, err := http.Get(b.server.URL + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	expect := func(text string) {
		t.Helper()
		next <- text
		if !lines.Scan() || lines.Text() != text {
			t.Fatalf("read %q, %v; want %q", lines.Text(), lines.Err(), text)
		}
	}
	expect("before")
	for _, change := range []func(){
		func() { b.write(b.dirs.token, "t", "another") },
		func() { b.routes(to("/b/", u.URL), to("/a/", u.URL)) },                               // another route
		func() { b.write(b.dirs.config, caFile, string(newUpstream(t, nil).ca())) },           // so is the transport
		func() { b.write(b.dirs.config, caFile, string(u.ca())); b.routes(to("/a/", u.URL)) }, // and all is back
	} {
		change()
		b.reload()
		expect("after")
	}
	close(next)
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the stream ends with %q, %v; want its regular end", lines.Text(), lines.Err())
	}
}

func TestRootsAreMozillasAndOurs(t *testing.T) {
	u := newUpstream(t, nil)
	verify := func(pool *x509.CertPool, cert *x509.Certificate) error {
		_, err := cert.Verify(x509.VerifyOptions{
			Roots: pool, CurrentTime: cert.NotBefore.Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		return err
	}
	alone, err := rootPool(nil)
	if err != nil {
		t.Fatal(err)
	}
	both, err := rootPool(append(u.ca(), []byte("\n# a comment at the end\n")...))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		count++
		for name, pool := range map[string]*x509.CertPool{"alone": alone, "both": both} {
			if err := verify(pool, cert); err != nil {
				t.Errorf("%s: %s: %v", name, cert.Subject, err)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d roots of Mozilla's", count)
	}
	if err := verify(both, u.Certificate()); err != nil {
		t.Errorf("our own root is not trusted: %v", err)
	}
	if err := verify(alone, u.Certificate()); err == nil {
		t.Error("a root that nobody configured is trusted")
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string // empty: an error
	}{
		"upper case":   {map[string]string{"HTTPS_PROXY": "http://pipelock:8888"}, "http://pipelock:8888"},
		"lower case":   {map[string]string{"https_proxy": "http://pipelock:8888"}, "http://pipelock:8888"},
		"no exemption": {map[string]string{"HTTPS_PROXY": "http://pipelock:8888", "NO_PROXY": "*"}, "http://pipelock:8888"},
		"missing":      {nil, ""},
		"only http":    {map[string]string{"HTTP_PROXY": "http://pipelock:8888"}, ""},
		"no scheme":    {map[string]string{"HTTPS_PROXY": "pipelock:8888"}, ""},
		"socks":        {map[string]string{"HTTPS_PROXY": "socks5://pipelock:8888"}, ""},
		"no host":      {map[string]string{"HTTPS_PROXY": "http://"}, ""},
		"credentials":  {map[string]string{"HTTPS_PROXY": "http://u:" + marker + "@pipelock:8888"}, ""},
		"malformed":    {map[string]string{"HTTPS_PROXY": "http://" + marker + "\x7f"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := proxyFromEnvironment(func(key string) string { return test.env[key] })
			switch {
			case test.want == "" && err == nil:
				t.Errorf("accepted as %s", got)
			case test.want != "" && (err != nil || got.String() != test.want):
				t.Errorf("%v, %v; want %s", got, err, test.want)
			case err != nil:
				noSecret(t, "error", err.Error())
			}
		})
	}
}
