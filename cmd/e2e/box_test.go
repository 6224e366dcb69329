package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// TestBox attacks from inside the agent and from inside each sidecar, with an attacker program in their images, on an
// engine and a machine of its own: so the machine can have everything that must not be reached. Each attack is shown to
// work where it may. docs/security.md tells what follows from it.
func TestBox(t *testing.T) { // not beside others: its floods take the whole machine, and measure who is served meanwhile
	b := newBox(t)
	for _, group := range []struct {
		name string
		run  func(box)
	}{
		{"agent", box.attackFromAgent},
		{"service", box.attackFromService},
		{"sidecars", box.attackFromSidecars},
		{"proxy tricks", box.trickProxy},
		{"doors", box.tryDoors},
		{"limits", box.exhaust},
		{"pipelock taken over", box.takeOverPipelock}, // the last: it changes the machine's firewall
	} {
		t.Run(group.name, func(t *testing.T) { group.run(b.in(t)) })
	}
}

// The world around the box. Public addresses, since pipelock is to take them for such: nothing leaves the machine.
const (
	apiAddress      = "93.184.216.34"   // api.demo.example
	internetAddress = "93.184.216.35"   // a host nobody allowed, which listens on servicePort
	metadataAddress = "169.254.169.254" // as on a cloud's machines
	servicePort     = "7777"
	overlayPort     = "4789" // of a Swarm's overlay networks (VXLAN), on internetAddress
	// A network with IPv6, which an ordinary container has.
	sixNetwork, sixSubnet = "six", "fd00:b0::/64"
)

// boxService is the component of each bottle's service.
const boxService state.ComponentName = state.ServicePrefix + "db"

// box is two bottles and the world around them. Of bottle one every part is attacked from; bottle two is attacked.
type box struct {
	*testing.T
	e         *harness.Env
	machine   harness.Machine
	names     *nameServer
	datagrams *recorder
	overlay   *recorder
	token     string
	tools     string          // a directory that every agent mounts, with a set-user-ID file
	shown     map[string]bool // attacks that were shown to work where they may
}

func newBox(t *testing.T) box {
	t.Helper()
	engine := harness.PrivateEngine(t)
	e := harness.New(t)
	e.On(engine)
	e.Arm()
	b := box{T: t, e: e, machine: engine.Machine(), token: prepareCerts(t, e), tools: t.TempDir(), shown: map[string]bool{}}
	harness.CopyAttacker(t, filepath.Join(b.tools, "setuid"), 0o755|os.ModeSetuid)
	b.machine.Sysctl("ipv6/conf/default/accept_dad", "0") // the network's addresses are there at once
	e.Docker("network", "create", "--label", state.LabelOwner+"="+e.Owner+"-guest", "--ipv6", "--subnet", sixSubnet, sixNetwork)
	outside := b.machine.Outside(apiAddress, internetAddress, metadataAddress)
	b.names = serveNames(b.machine.ListenPacket("udp4", "127.0.0.1:53"))
	b.datagrams = record(b.machine.ListenPacket("udp4", "0.0.0.0:"+servicePort))
	b.overlay = record(outside.ListenPacket("udp4", internetAddress+":"+overlayPort))
	serveTCP(b.machine.Listen("tcp4", "0.0.0.0:"+servicePort))
	serveTCP(b.machine.Listen("tcp6", "[::]:"+servicePort))
	serveTCP(outside.Listen("tcp4", internetAddress+":"+servicePort))
	serveTCP(outside.Listen("tcp4", metadataAddress+":80"))
	serveAPI(t, filepath.Join(e.Manifests, "certs"), outside.Listen("tcp4", apiAddress+":443"), outside.Listen("tcp4", apiAddress+":80"))
	e.Write("one.yaml", boxManifest("one", b.tools, "resources: {memory: 64Mi, cpus: \"1\", pids: 64}"))
	e.Write("two.yaml", boxManifest("two", b.tools, ""))
	e.Reconcile(exitDone)
	return b
}

// boxManifest is a bottle with every part. What its names resolve to is up to the nameServer.
func boxManifest(slug, tools, more string) string {
	return fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: %[1]s}
spec:
  supervise: true
  egress:
    allowlist: [api.demo.example, inside.demo.example, host.demo.example, rebind.demo.example]
  credProxy:
    caBundle: ./certs/ca.pem
    routes:
      - path: /api/
        upstream: https://api.demo.example
        token: {file: ./certs/token}
  services:
    - {name: db, image: %[2]s, command: [upstream, --http, ":5432", --https=], healthcheck: {command: [/bottled-demo, dial, "127.0.0.1:5432"]}}
  agent:
    image: %[2]s
    command: [agent]
    mounts: [{source: %[3]s, target: /tools, readOnly: true}]
    ports: [{container: 3000, host: %[4]s}]
    %[5]s
`, slug, harness.AgentImage, tools, map[string]string{"one": "127.0.0.1:3000", "two": "127.0.0.1:3001"}[slug], more)
}

func (b box) in(t *testing.T) box {
	b.T, b.e = t, b.e.In(t)
	return b
}

// run makes a subtest.
func (b box) run(name string, f func(b box)) {
	b.Run(name, func(t *testing.T) { f(b.in(t)) })
}

// attack runs the attacker in a part of bottle one.
func (b box) attack(part state.ComponentName, args ...string) []harness.Attempt {
	b.Helper()
	return b.e.Attack(b.e.Name(part, "one"), args...)
}

// outsider runs the attacker in an ordinary container, on the engine's default network unless options say otherwise.
func (b box) outsider(options []string, args ...string) []harness.Attempt {
	b.Helper()
	label := "--label=" + state.LabelOwner + "=" + b.e.Owner + "-guest"
	return b.e.AttackFrom(append([]string{label}, options...), args...)
}

// control shows, once, that an attack works from an ordinary container: one that works nowhere shows nothing.
func (b box) control(options []string, args ...string) {
	b.Helper()
	key := fmt.Sprint(options, args)
	if !b.shown[key] {
		b.granted("an ordinary container", plain(b.outsider(options, args...)))
		b.shown[key] = true
	}
}

// denied fails the test for each attempt that got what it wanted, and when there was none.
func (b box) denied(from string, attempts []harness.Attempt) {
	b.Helper()
	if len(attempts) == 0 {
		b.Errorf("%s tried nothing", from)
	}
	for _, a := range attempts {
		if a.Granted {
			b.Errorf("%s gets: %s", from, a.Name)
		}
	}
}

// granted fails the test for each attempt that did not get what it wanted.
func (b box) granted(from string, attempts []harness.Attempt) {
	b.Helper()
	if len(attempts) == 0 {
		b.Errorf("%s tried nothing", from)
	}
	for _, a := range attempts {
		if !a.Granted {
			b.Errorf("the attack itself does not work: %s does not get: %s (%s)", from, a.Name, a.Error)
		}
	}
}

// address is a container's on a network of the given bottle.
func (b box) address(part state.ComponentName, kind, slug string) string {
	b.Helper()
	var networks map[string]struct{ IPAddress string }
	b.decode(&networks, "inspect", "-f", "{{json .NetworkSettings.Networks}}", b.e.Name(part, slug))
	address := networks[b.e.Network(kind, slug)].IPAddress
	if address == "" {
		b.Fatalf("%s of %s has no address on %s: %v", part, slug, kind, networks)
	}
	return address
}

func (b box) decode(into any, docker ...string) {
	b.Helper()
	if err := json.Unmarshal([]byte(b.e.Docker(docker...)), into); err != nil {
		b.Fatal(err)
	}
}

// hostServices are the host's service on every address that the host has but the loopback: those of all bridges, too,
// and where a gateway would be on the internal network.
func (b box) hostServices() []string {
	b.Helper()
	var targets []string
	for _, a := range b.machine.Addresses() {
		if a.IP.To4() != nil && !a.IP.IsLoopback() {
			targets = append(targets, net.JoinHostPort(a.IP.String(), servicePort))
		}
	}
	internal := net.ParseIP(b.address(state.Agent, "net", "one")).To4()
	internal[3] = internal[3]&^0xf | 1
	targets = append(targets, net.JoinHostPort(internal.String(), servicePort))
	if len(targets) < 5 { // wan0, docker0, two egress bridges, and no gateway
		b.Fatalf("the host has too few addresses: %v", targets)
	}
	return targets
}

// otherBottle is every port of every part of bottle two, on every network.
func (b box) otherBottle() []string {
	b.Helper()
	var targets []string
	ports := map[state.ComponentName]string{state.Pipelock: "8888", state.CredProxy: "9099", state.Supervise: "9100", boxService: "5432"}
	for part, port := range ports {
		targets = append(targets, net.JoinHostPort(b.address(part, "net", "two"), port))
	}
	slices.Sort(targets)
	return append(targets, net.JoinHostPort(b.address(state.Pipelock, "egress", "two"), ports[state.Pipelock]))
}

// serveTCP is a service that must not be reached; it says so to whoever does.
func serveTCP(l net.Listener) {
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, reached) }))
}

const reached = "what must not be reached"

// serveAPI answers with the host and the Authorization that it was sent.
func serveAPI(t *testing.T, certs string, l, plain net.Listener) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "server.pem"), filepath.Join(certs, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the API saw host %q and %q\n", r.Host, r.Header.Get("Authorization"))
	})
	quiet := log.New(io.Discard, "", 0) // of tunnels that are only tried
	server := &http.Server{Handler: api, ErrorLog: quiet, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	go http.Serve(plain, api)
}

// works shows that the bottle does its work: the agent's request reaches the API with the token that the agent has not.
func (b box) works() {
	b.Helper()
	out, code := b.e.Agent("one", "fetch", "http://cred-proxy:9099/api/")
	if code != 0 || !strings.Contains(out, "Bearer "+b.token) {
		b.Errorf("the agent's own traffic does not reach the API (exit code %d):\n%s", code, out)
	}
}
