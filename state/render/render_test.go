package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/manifests/golden"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/credproxy"
	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/seccomp"
)

var testSettings = state.Settings{
	Owner: "default", Prefix: "claude-bottle", StateDir: "/var/lib/bottled", RunDir: "/run/bottled/x", Pool: state.DefaultPool,
	BuiltinImage: "bottled:0123456789abcdef", User: "65532:65532",
}

var testNets = state.Subnets{Internal: netip.MustParsePrefix("10.213.1.0/28"), Egress: netip.MustParsePrefix("10.213.1.16/28")}

func fullManifest() v1alpha1.Bottle {
	return v1alpha1.Bottle{
		Metadata: v1alpha1.Metadata{Name: "dev", Labels: map[string]string{"team": "core"}},
		Source:   v1alpha1.Source{Path: "/etc/bottles/dev.yaml", Line: 1},
		Spec: v1alpha1.Spec{
			Supervise: true,
			Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow("api.github.com", "*.npmjs.org", "api.github.com"), PrivateCIDRs: []string{"192.168.7.0/24"}},
			CredProxy: &v1alpha1.CredProxy{CABundle: "/etc/bottles/ca.pem", Routes: []route.Route{
				{Path: "/anthropic/", Upstream: "https://api.anthropic.com", Token: route.SecretRef{Env: "TOKEN"}, Roles: []route.Role{route.RoleAnthropicBaseURL}},
				{Path: "/npm/", Upstream: "https://registry.npmjs.org", Token: route.SecretRef{File: "/etc/npm-token"}, Roles: []route.Role{route.RoleNPMRegistry}},
				{Path: "/git/", Upstream: "https://git.example.com", AuthScheme: "Basic", Token: route.SecretRef{Env: "GIT"}, Roles: []route.Role{route.RoleGitInsteadOf}},
			}},
			Agent: &v1alpha1.Agent{
				Image: "my-agent:latest", Command: []string{"claude"}, Env: map[string]v1alpha1.EnvValue{"LANG": {Text: "C.UTF-8"}},
				Mounts:    []v1alpha1.Mount{{Source: "/home/me/work", Target: "/work"}},
				Resources: v1alpha1.Resources{Memory: "2Gi", CPUs: "2", Pids: 512}, Runtime: "runsc",
			},
		},
	}
}

func inputsOf(m v1alpha1.Bottle) resolve.Inputs {
	in := resolve.Inputs{Hosts: m.Spec.Egress.HostsAt(time.Time{}), Tokens: map[string]state.Content{}, Mounts: map[string]resolve.MountSource{}, CABundle: []byte("-- a certificate --\n")}
	for _, r := range m.Spec.CredProxy.Routes {
		in.Tokens[state.TokenSlot(r.Token)] = state.NewContent([]byte("the-secret-token"))
	}
	if m.Spec.Agent != nil {
		for i, mount := range m.Spec.Agent.Mounts {
			in.Mounts[mount.Source] = resolve.MountSource{Path: mount.Source, ID: safepath.ID{Dev: 1, Ino: uint64(i) + 2}, Directory: true}
		}
	}
	return in
}

// TestDesireGolden shows everything that is made of a full manifest, but for the tokens' content.
func TestDesireGolden(t *testing.T) {
	m := fullManifest()
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out := string(shown) + "\n"
	for _, d := range b.Dirs {
		for _, name := range []string{"pipelock.yaml", "routes.json", "ca.pem", "allowlist", "private-cidrs", "Dockerfile", "env-TOKEN", "env-GIT"} {
			f, ok := d.Files[name]
			switch {
			case ok && f.Secret:
				out += fmt.Sprintf("=== %s/%s %04o (secret)\n", d.Path, name, f.Mode)
			case ok:
				out += fmt.Sprintf("=== %s/%s %04o\n%s", d.Path, name, f.Mode, f.Content.Reveal())
			}
		}
	}
	if strings.Contains(out, "the-secret-token") || strings.Contains(fmt.Sprintf("%v%+v%#v", b, b, b), "the-secret-token") {
		t.Error("the token is shown")
	}
	golden.Check(t, "testdata/desired.golden", out)
}

// TestSupervisedWithoutAgent is a bottle whose agent somebody else starts.
func TestSupervisedWithoutAgent(t *testing.T) {
	m := fullManifest()
	m.Spec.Agent = nil
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(b.Dirs, func(d state.Dir) bool { return filepath.Base(d.Path) == "current-config" })
	if i < 0 {
		t.Fatal("no current-config for supervise")
	}
	if _, ok := b.Dirs[i].Files["Dockerfile"]; ok {
		t.Error("a Dockerfile though there is no agent")
	}
}

func TestDirsAreWrittenOnce(t *testing.T) {
	b, err := Bottle(fullManifest(), inputsOf(fullManifest()), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range b.Dirs {
		if seen[d.Path] {
			t.Errorf("%s is there twice", d.Path)
		}
		seen[d.Path] = true
	}
}

func TestDesireIsPure(t *testing.T) {
	m := fullManifest()
	first, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // map orders differ from call to call
		again, err := Bottle(m, inputsOf(m), testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(state.Content{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
	}
}

// Two bottles that differ in their tokens alone differ in no digest, label, record or anything else that is shown:
// a digest of a token would let others guess it.
func TestTokensEnterNoDigest(t *testing.T) {
	m := fullManifest()
	shown := func(token string) string {
		in := inputsOf(m)
		for ref := range in.Tokens {
			in.Tokens[ref] = state.NewContent([]byte(token))
		}
		b, err := Bottle(m, in, testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		secrets := 0
		out, err := json.Marshal(b)
		for _, d := range b.Dirs {
			for name, f := range d.Files {
				if f.Secret {
					secrets++
					f.Content = state.Content{}
				}
				d.Files[name] = f
			}
			for _, name := range slices.Sorted(maps.Keys(d.Files)) {
				out = fmt.Appendf(out, "%s/%s %s\n", d.Path, name, d.Files[name].Content.Reveal())
			}
		}
		if err != nil || secrets != 3 {
			t.Fatalf("%d secret files, %v", secrets, err)
		}
		return string(out)
	}
	if diff := cmp.Diff(shown("one-token"), shown("another-token")); diff != "" {
		t.Error(diff)
	}
}

// TestRouteReachesTheCredProxy: routes.json has every field of a manifest's route, and cred-proxy accepts it.
func TestRouteReachesTheCredProxy(t *testing.T) {
	snapshot, err := source.Load("../../manifests/testdata/good/route-rules.yaml")
	if err != nil || len(snapshot.Bottles) != 1 {
		t.Fatal(snapshot, err)
	}
	data, err := credproxy.Routes(component.Context{Manifest: snapshot.Bottles[0]})
	if err != nil {
		t.Fatal(err)
	}
	got, err := route.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	want := []route.Route{
		{
			Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthHeader: "x-api-key", TokenSlot: "env-ANTHROPIC_API_KEY",
			Methods: []string{"GET", "POST"}, Paths: &route.PathRules{Allow: []string{"/v1/messages", "/v1/models/"}, Deny: []string{"/v1/messages/batches"}},
			RateLimit: &route.RateLimit{RequestsPerMinute: 120, Burst: 20}, MaxRequestBody: "33554432",
		},
		{
			Path: "/gemini/", Upstream: "https://generativelanguage.googleapis.com", AuthQuery: "key", TokenSlot: "env-GEMINI_API_KEY",
			Paths: &route.PathRules{Allow: []string{"/v1/models/gemini-pro:generateContent", "/v1beta/models/*"}}, MaxRequestBody: "1000000",
		},
		{
			Path: "/wiki/", Upstream: "https://wiki.example.com", AuthScheme: "Basic", TokenSlot: state.TokenSlot(route.SecretRef{File: "/run/secrets/wiki"}),
			Paths: &route.PathRules{Deny: []string{"/*/*/admin"}}, RateLimit: &route.RateLimit{RequestsPerMinute: 1}, AllowSetCookie: true,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every container, whatever the manifest says, is boxed in.
func TestEveryContainerIsHardened(t *testing.T) {
	m := fullManifest()
	m.Spec.Agent.Resources.Pids = 0
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	networks := map[state.ComponentName]int{state.Pipelock: 2, state.CredProxy: 1, state.Supervise: 1, state.Agent: 1}
	for _, member := range b.Components {
		c := member.Container
		if !slices.Equal(c.CapDrop, []string{"ALL"}) || len(c.CapAdd) > 0 || !slices.Equal(c.SecurityOpt, []string{"no-new-privileges", seccomp.Option()}) || c.Restart != "no" {
			t.Errorf("%s may do too much: %+v", member.Name, c)
		}
		if len(c.Networks) != networks[member.Name] || c.Networks[0].Network != "claude-bottle-net-dev" || !slices.Equal(c.Networks[0].Aliases, []string{string(member.Name)}) {
			t.Errorf("%s is on %v", member.Name, c.Networks)
		}
		if (len(c.DNS) > 0) != (member.Name != state.Pipelock) {
			t.Errorf("%s asks %v for names", member.Name, c.DNS)
		}
		if member.Name == state.Agent {
			if c.Limits.Pids == 0 || c.OOMScore != 1000 {
				t.Errorf("the agent may take the host's processes or memory: %+v", c)
			}
			continue
		}
		if c.User != "65532:65532" || !c.ReadOnlyRoot || c.Limits.Memory == 0 || c.Limits.NanoCPUs == 0 || c.Limits.Pids == 0 || len(c.Health.Command) == 0 {
			t.Errorf("%s is not hardened: %+v", member.Name, c)
		}
	}
}

func TestDesireRefuses(t *testing.T) {
	for says, change := range map[string]func(*v1alpha1.Bottle){
		"dlpAction":    func(m *v1alpha1.Bottle) { m.Spec.Egress.DLPAction = "strip" },
		"privateCIDRs": func(m *v1alpha1.Bottle) { m.Spec.Egress.PrivateCIDRs = []string{"x"} },
	} {
		m := fullManifest()
		change(&m)
		if _, err := Bottle(m, inputsOf(m), testNets, testSettings); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error about %s, got %v", says, err)
		}
	}
}

// TestDesirePorts: an upstream's port and an entry's are opened by the built-in pipelock only. The official one
// can't open one port alone: it refuses what was declared and opens a host for an upstream.
func TestDesirePorts(t *testing.T) {
	m := fullManifest()
	m.Spec.CredProxy.Routes[0].Upstream = "https://api.anthropic.com:443"
	m.Spec.CredProxy.Routes[1].Upstream, m.Spec.CredProxy.Routes[1].InsecureUpstream = "http://192.168.7.9:4873", true
	m.Spec.CredProxy.Routes[2].Upstream = "https://[fd12::1]:3000/git"
	official := testSettings
	official.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
	for _, c := range []struct {
		settings state.Settings
		declared string
		want     string
	}{
		{testSettings, "git.example.com:8443", "192.168.7.9 [fd12::1]:3000 api.anthropic.com cred-proxy git.example.com:8443 supervise"},
		{testSettings, "git.example.com", "192.168.7.9 [fd12::1]:3000 api.anthropic.com cred-proxy git.example.com supervise"},
		{official, "git.example.com", "192.168.7.9 api.anthropic.com cred-proxy fd12::1 git.example.com supervise"},
		{official, "git.example.com:8443", ""},
	} {
		m.Spec.Egress.Allowlist = v1alpha1.Allow(c.declared)
		b, err := Bottle(m, inputsOf(m), testNets, c.settings)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), "spec.egress.allowlist[0]: git.example.com:8443 has a port") {
				t.Errorf("%s: %v", c.declared, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range b.Dirs {
			if allow, ok := dir.Files["allowlist"]; ok && filepath.Base(dir.Path) == "current-config" && strings.Join(strings.Fields(string(allow.Content.Reveal())), " ") != c.want {
				t.Errorf("%s: %s, want %s", c.declared, allow.Content.Reveal(), c.want)
			}
			if file, ok := dir.Files["pipelock.yaml"]; ok {
				config, err := pipelockconf.Parse(file.Content.Reveal())
				if err != nil || strings.Join(config.APIAllowlist, " ") != c.want {
					t.Errorf("%s: %v, %v, want %s", c.declared, config.APIAllowlist, err, c.want)
				}
			}
		}
	}
}

// TestDesireMaxRequestBody: pipelock passes what the route with the largest limit takes, and is reloaded for it. The official one can't.
func TestDesireMaxRequestBody(t *testing.T) {
	official := testSettings
	official.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
	fixed := map[string]string{}
	for declared, want := range map[string]int64{"": 32 << 20, "1Mi": 32 << 20, "32Mi": 32 << 20, "1Gi": 1 << 30} {
		m := fullManifest()
		m.Spec.CredProxy.Routes[1].MaxRequestBody = declared
		b, err := Bottle(m, inputsOf(m), testNets, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		config, err := pipelockconf.Parse(b.Dirs[0].Files["pipelock.yaml"].Content.Reveal())
		if err != nil || config.RequestBodyScanning.MaxBodyBytes != want {
			t.Errorf("%q: %+v, %v, want %d", declared, config.RequestBodyScanning, err, want)
		}
		fixed[b.Components[0].Container.Labels[state.LabelFixed]] = declared
		_, err = Bottle(m, inputsOf(m), testNets, official)
		if refused := err != nil && strings.Contains(err.Error(), "spec.credProxy.routes[1].maxRequestBody: the pipelock image in use"); refused != (want > 32<<20) {
			t.Errorf("%q with the official image: %v", declared, err)
		}
	}
	if len(fixed) != 1 {
		t.Errorf("another limit needs another container: %v", fixed)
	}
}

// TestDesireDLPExceptions: an exception is for a URL, for two if the route's upstream is plain HTTP, and pipelock is reloaded for it.
func TestDesireDLPExceptions(t *testing.T) {
	m := fullManifest()
	m.Spec.CredProxy.Routes[1].Upstream, m.Spec.CredProxy.Routes[1].InsecureUpstream = "http://192.168.7.9:4873/npm", true
	without, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	m.Spec.Egress.DLPExceptions = []v1alpha1.DLPException{
		{Rule: "jwt", Route: "/npm/"}, {Rule: "jwt", Route: "/anthropic/"}, {Rule: "private-key", Host: "docs.example.com:8080"}, {Rule: "jwt", Host: "fd12::1"},
	}
	b, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pipelockconf.Parse(b.Dirs[0].Files["pipelock.yaml"].Content.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]pipelockconf.Suppress{
		{Rule: "jwt", Path: "http://192.168.7.9:4873/npm/"},
		{Rule: "jwt", Path: "http://[fd12::1]/"},
		{Rule: "jwt", Path: "http://cred-proxy:9099/anthropic/"},
		{Rule: "jwt", Path: "http://cred-proxy:9099/npm/"},
		{Rule: "private-key", Path: "http://docs.example.com:8080/"},
	}, config.Suppress); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if a, b := without.Components[0].Container.Labels[state.LabelFixed], b.Components[0].Container.Labels[state.LabelFixed]; a != b {
		t.Error("an exception needs another container")
	}
	official := testSettings
	official.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
	if _, err := Bottle(m, inputsOf(m), testNets, official); err == nil || !strings.Contains(err.Error(), "spec.egress.dlpExceptions: the pipelock image in use") {
		t.Errorf("with the official image: %v", err)
	}
}

// TestDesireDLP: block unless the manifest says warn, with any pipelock image.
func TestDesireDLP(t *testing.T) {
	official := testSettings
	official.Images = map[state.ComponentName]string{state.Pipelock: "ghcr.io/luckypipewrench/pipelock:2.3.0"}
	for _, settings := range []state.Settings{testSettings, official} {
		for declared, want := range map[v1alpha1.DLPAction]string{"": "block", v1alpha1.DLPBlock: "block", v1alpha1.DLPWarn: "warn"} {
			m := fullManifest()
			m.Spec.Egress.DLPAction = declared
			b, err := Bottle(m, inputsOf(m), testNets, settings)
			if err != nil {
				t.Fatal(err)
			}
			config, err := pipelockconf.Parse(b.Dirs[0].Files["pipelock.yaml"].Content.Reveal())
			if err != nil || !config.RequestBodyScanning.Enabled || config.RequestBodyScanning.Action != want {
				t.Errorf("%s: %+v, %v", declared, config, err)
			}
		}
	}
}

// TestServices are as confined as the agent, have no way out, and are asked by their names.
func TestServices(t *testing.T) {
	m := fullManifest()
	without, err := Bottle(m, inputsOf(m), testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	m.Spec.Services = []v1alpha1.Service{
		{
			Name: "db", Image: "postgres:17", User: "999:999", Env: map[string]v1alpha1.EnvValue{"POSTGRES_DB": {Text: "x"}, "POSTGRES_USER": {Env: "DB_USER"}}, Volumes: []v1alpha1.Volume{{Name: "data", Target: "/data"}},
			Healthcheck: &v1alpha1.Healthcheck{Command: []string{"pg_isready"}, Interval: "1m30s"}, Resources: v1alpha1.Resources{Memory: "1Gi"},
			Tmpfs: []v1alpha1.Tmpfs{{Target: "/run/db", Size: "16Mi", Mode: "700"}}, StopGracePeriod: "1m",
		},
		{Name: "cache", Image: "redis:7", Command: []string{"redis-server"}},
	}
	in := inputsOf(m)
	if b, err := Bottle(m, in, testNets, testSettings); err == nil || !strings.Contains(err.Error(), "service db") {
		t.Errorf("a service whose environment was not read: %v, %v", b, err)
	}
	in.ServiceEnv = map[string]map[string]string{"db": {"POSTGRES_USER": "dev"}}
	b, err := Bottle(m, in, testNets, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	var names []state.ComponentName
	for _, c := range b.Components {
		names = append(names, c.Name)
	}
	if want := []state.ComponentName{state.Pipelock, state.CredProxy, state.Supervise, "service-db", "service-cache", state.Agent}; !slices.Equal(names, want) {
		t.Fatalf("components %q, want %q", names, want)
	}
	internal := state.Attachment{Network: "claude-bottle-net-dev", Aliases: []string{"db"}}
	want := state.Sealed(internal)
	want.Name, want.Image, want.User, want.Env = "claude-bottle-service-db.dev", "postgres:17", "999:999", map[string]string{"POSTGRES_DB": "x", "POSTGRES_USER": "dev"}
	want.Tmpfs, want.StopGrace = []state.Tmpfs{{Target: "/run/db", Size: 16 << 20, Mode: 0o700}}, time.Minute
	want.Volumes = []state.VolumeMount{{Volume: "claude-bottle-volume-data.dev", Target: "/data"}}
	want.Limits, want.OOMScore, want.Runtime, want.Restart = state.Limits{Memory: 1 << 30, Pids: 2048}, 1000, "runsc", "no"
	want.Health = state.Health{Command: []string{"pg_isready"}, Interval: 90 * time.Second, Timeout: 5 * time.Second, StartPeriod: time.Minute, Retries: 3}
	want.Additions.QuickDNS, want.Additions.Launcher = true, true
	got := b.Components[3].Container
	want.Labels, want.Log = got.Labels, got.Log
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the service (-want +got):\n%s", diff)
	}
	if role := got.Labels[state.LabelRole]; role != "service-db" {
		t.Errorf("its role is %q", role)
	}
	if len(b.Volumes) != 1 || b.Volumes[0].Name != "claude-bottle-volume-data.dev" || b.Volumes[0].Labels[state.LabelVolume] != "data" {
		t.Errorf("volumes: %+v", b.Volumes)
	}
	agent, before := b.Components[5].Container, without.Components[3].Container
	if got, want := agent.Env["NO_PROXY"], before.Env["NO_PROXY"]+",db,cache"; got != want || agent.Env["no_proxy"] != want {
		t.Errorf("NO_PROXY is %q, want %q", got, want)
	}
	for _, c := range b.Components[:3] { // nothing of them changes
		i := slices.IndexFunc(without.Components, func(o state.Component) bool { return o.Name == c.Name })
		if c.Container.Hash() != without.Components[i].Container.Hash() || c.Config != without.Components[i].Config {
			t.Errorf("%s is declared otherwise because the bottle has services", c.Name)
		}
	}
}
