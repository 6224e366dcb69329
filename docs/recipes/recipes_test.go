package recipes

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// load returns the only bottle of a valid manifest.
func load(t *testing.T, path string) v1alpha1.Bottle {
	t.Helper()
	snapshot, err := source.Load(path)
	if err != nil || len(snapshot.Problems)+len(snapshot.Warnings) > 0 || len(snapshot.Bottles) != 1 {
		t.Fatalf("%s: %v %v %v", path, snapshot.Problems, snapshot.Warnings, err)
	}
	return snapshot.Bottles[0]
}

// TestRecipes reads every recipe as people would copy it: its manifest is valid, its image can be built, and it is in the README's table.
func TestRecipes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := All()
	if len(all) < 9 {
		t.Errorf("%d recipes", len(all))
	}
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			b := load(t, r.Name+"/bottle.yaml")
			if b.Metadata.Name != r.Name {
				t.Errorf("it is called %s", b.Metadata.Name)
			}
			if row := "| [" + r.Name + "](" + r.Name + "/bottle.yaml) |"; !strings.Contains(string(readme), row) {
				t.Errorf("the README has no row %s", row)
			}
			checkImage(t, b)
			checkAddresses(t, r, b)
		})
	}
}

// checkImage reads the build context of an image that is built: its Dockerfile has instructions of the classic builder, and copies what is there.
func checkImage(t *testing.T, b v1alpha1.Bottle) {
	t.Helper()
	if b.Spec.Agent.Build == nil {
		return
	}
	from := b.Spec.Agent.Build.Source()
	context, err := new(buildcontext.Reader).Read(from, from.Dir)
	if err != nil {
		t.Fatal(err)
	}
	needsNetwork := false
	text := strings.ReplaceAll(string(context.Text), "\\\n", " ")
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if !slices.Contains([]string{"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"}, words[0]) || strings.Contains(line, "<<") || strings.HasPrefix(words[1], "--") {
			t.Errorf("not of the classic builder, or not known here: %s", line)
		}
		if words[0] == "COPY" {
			if _, err := os.Stat(filepath.Join(from.Dir, words[1])); err != nil {
				t.Error(err)
			}
		}
		needsNetwork = needsNetwork || words[0] == "RUN" && (strings.Contains(line, "apt-get") || strings.Contains(line, "install -g") || strings.Contains(line, "pip install"))
	}
	if hasNetwork := from.Network == string(v1alpha1.BuildNetworkDefault); hasNetwork != needsNetwork {
		t.Errorf("network: default is %v, and its steps need it: %v", hasNetwork, needsNetwork)
	}
}

// checkAddresses makes sure that the addresses of components in a recipe's configuration files are right, and lead to its routes.
func checkAddresses(t *testing.T, r Recipe, b v1alpha1.Bottle) {
	t.Helper()
	image, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range image {
		if err := parse(name, content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for rest := string(content); ; {
			_, after, found := strings.Cut(rest, contract.CredProxy.URL())
			if !found {
				break
			}
			rest = after
			if !slices.ContainsFunc(b.Spec.CredProxy.Routes, func(r route.Route) bool { return strings.HasPrefix(after, r.Path) }) {
				t.Errorf("%s: no route has the path %.20s", name, after)
			}
		}
		for _, c := range []contract.Component{contract.CredProxy, contract.Supervise} {
			if strings.Count(string(content), "http://"+c.Name) != strings.Count(string(content), c.URL()) {
				t.Errorf("%s: an address of %s is not %s", name, c.Name, c.URL())
			}
		}
		if strings.Contains(string(content), contract.Supervise.URL()) && !b.Spec.Supervise {
			t.Errorf("%s: supervise is not there", name)
		}
		host, port := "<host>"+contract.Pipelock.Name+"</host>", "<port>"+strconv.Itoa(contract.Pipelock.Port)+"</port>"
		if path.Base(name) == "settings.xml" && (strings.Count(string(content), host) != 2 || strings.Count(string(content), port) != 2) {
			t.Errorf("%s does not lead to pipelock", name)
		}
	}
}

// parse reads a configuration file.
func parse(name string, content []byte) error {
	var value any
	switch path.Ext(name) {
	case ".json":
		return json.Unmarshal(content, &value)
	case ".toml":
		return toml.Unmarshal(content, &value)
	case ".xml":
		return xml.Unmarshal(content, new(struct{ XMLName xml.Name }))
	}
	return nil
}

// TestManifest gives every recipe another name, also one that YAML readers take for something else.
func TestManifest(t *testing.T) {
	for _, r := range All() {
		for _, bottle := range []string{"dev", "no", "1", "image", r.Name + "-2"} {
			text, err := r.Manifest(bottle)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "x.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b := load(t, path)
			if b.Metadata.Name != bottle {
				t.Errorf("%s: it is called %s, want %s", r.Name, b.Metadata.Name, bottle)
			}
			if build := b.Spec.Agent.Build; build != nil && build.Context != filepath.Join(dir, bottle) {
				t.Errorf("%s: its context is %s", r.Name, build.Context)
			}
			if bottle != r.Name && strings.Contains(text, "bottled run "+r.Name+" ") {
				t.Errorf("%s: a comment names another bottle:\n%s", r.Name, text)
			}
		}
	}
}
