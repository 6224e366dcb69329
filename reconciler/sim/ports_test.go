package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/relay"
)

// hostNetwork is the network of the host: who listens where.
type hostNetwork struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*memoryListener
	others    map[string]bool // addresses on which programs of others listen
}

// memoryListener is a listener without a socket, since waiting on those is nothing that a virtual clock knows of.
type memoryListener struct {
	network *hostNetwork
	address netip.AddrPort
	clients chan net.Conn
	closed  chan struct{}
}

func (n *hostNetwork) listen(_ context.Context, address netip.AddrPort) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil || n.others[address.String()] {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &memoryListener{network: n, address: address, clients: make(chan net.Conn), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = map[netip.AddrPort]*memoryListener{}
	}
	n.listeners[address] = l
	return l, nil
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.clients:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.network.listeners[l.address] == l {
		delete(l.network.listeners, l.address)
		close(l.closed)
	}
	return nil
}

func (l *memoryListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.address) }

// listening returns the addresses on which the controller listens, sorted.
func (n *hostNetwork) listening() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for a := range n.listeners {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// dial connects to an address of the host.
func (n *hostNetwork) dial(address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[netip.MustParseAddrPort(address)]
	n.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	client, accepted := net.Pipe()
	l.clients <- accepted
	return client, nil
}

// occupy has another program listen on an address, or not any more.
func (n *hostNetwork) occupy(address string, taken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.others == nil {
		n.others = map[string]bool{}
	}
	n.others[address] = taken
}

// memoryBridge leads to the agent of a bottle, which greets, then repeats what it is told. It exists as long as the ingress runs.
type memoryBridge struct {
	w    *world
	slug string
}

func (w *world) openBridge(dir string) (ports.Bridge, error) {
	slug := strings.Split(strings.TrimPrefix(dir, w.settings.RunDir+"/"), "/")[0]
	if dir != w.settings.IngressDir(slug) {
		return nil, fmt.Errorf("%s is no directory of an ingress", dir)
	}
	return &memoryBridge{w, slug}, nil
}

func (b *memoryBridge) Dial(_ context.Context, target string) (net.Conn, error) {
	if _, running := b.w.hands.ID(name(state.Ingress, b.slug)); !running {
		return nil, relay.ErrNoRelay
	}
	ours, agents := net.Pipe()
	go func() {
		defer agents.Close()
		if _, err := fmt.Fprintf(agents, "%s of %s\n", target, b.slug); err == nil {
			_, _ = io.Copy(agents, agents)
		}
	}()
	return ours, nil
}

func (b *memoryBridge) IsBound() bool { return true }

func (b *memoryBridge) Close() error { return nil }

// read reads a line from an address of the host.
func (w *world) read(address string) (net.Conn, string) {
	w.t.Helper()
	c, err := w.network.dial(address)
	if err != nil {
		return nil, err.Error()
	}
	line := make([]byte, 64)
	n, err := c.Read(line)
	if err != nil {
		return c, err.Error()
	}
	return c, strings.TrimSpace(string(line[:n]))
}

// listens waits until the controller listens on these addresses and no others.
func (w *world) listens(want string) {
	w.t.Helper()
	for range 100 {
		if w.network.listening() == want {
			return
		}
		w.pass(100 * time.Millisecond)
	}
	w.t.Fatalf("the controller listens on %q, want %q", w.network.listening(), want)
}

func withPorts(b v1alpha1.Bottle, hosts ...string) v1alpha1.Bottle {
	agent := *b.Spec.Agent
	agent.Ports = nil
	for i, host := range hosts {
		agent.Ports = append(agent.Ports, v1alpha1.Port{Container: int64(3000 + i), Host: host})
	}
	b.Spec.Agent = &agent
	return b
}

// withPort is a small bottle with a port that no other one has.
func withPort(slug string) v1alpha1.Bottle { return withPorts(small(slug), portHosts[slug]) }

var portHosts = map[string]string{"a": "127.0.0.1:3000", "b": "127.0.0.1:3001"}

// isOpen returns a check that the controller listens for exactly these bottles, and that their agents answer.
func isOpen(slugs ...string) func(w *world) error {
	return func(w *world) error {
		var want []string
		for _, slug := range slugs {
			want = append(want, portHosts[slug])
		}
		for range 100 { // a port that could not be opened is tried again
			if w.network.listening() == strings.Join(want, " ") {
				break
			}
			w.pass(time.Second)
		}
		if got := w.network.listening(); got != strings.Join(want, " ") {
			return fmt.Errorf("the controller listens on %q, want %v", got, want)
		}
		for _, slug := range slugs {
			if _, line := w.read(portHosts[slug]); line != "agent:3000 of "+slug {
				return fmt.Errorf("the port of %s: %q", slug, line)
			}
			if s, _ := w.status(slug); len(s.Ports) != 1 || !s.Ports[0].Listening {
				return fmt.Errorf("the ports of %s: %+v", slug, s.Ports)
			}
		}
		return nil
	}
}

func TestPortsFollowTheManifest(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withPorts(small("a"), "127.0.0.1:3000", "127.0.0.1:3001"), small("b"))
		w.run(nil)
		w.settle(time.Minute)
		w.listens("127.0.0.1:3000 127.0.0.1:3001")
		if _, line := w.read("127.0.0.1:3001"); line != "agent:3001 of a" {
			t.Errorf("the second port: %q", line)
		}
		agent, _ := w.hands.ID(name(state.Agent, "a"))
		ingress, _ := w.hands.ID(name(state.Ingress, "a"))
		kept, line := w.read("127.0.0.1:3000")
		gone, _ := w.read("127.0.0.1:3001")
		if line != "agent:3000 of a" {
			t.Errorf("the first port: %q", line)
		}

		w.declare(withPorts(small("a"), "127.0.0.1:3000"), withPorts(small("b"), "127.0.0.1:3001")) // which bottle a had
		w.settle(time.Minute)
		w.listens("127.0.0.1:3000 127.0.0.1:3001")
		if _, err := gone.Read(make([]byte, 1)); err == nil {
			t.Error("the connection of a port that was removed goes on")
		}
		if _, line := w.read("127.0.0.1:3001"); line != "agent:3000 of b" {
			t.Errorf("the port that went from one bottle to another: %q", line)
		}
		if _, err := kept.Write([]byte("x")); err != nil {
			t.Error("the connection of another port ended:", err)
		}
		if now, _ := w.hands.ID(name(state.Agent, "a")); now != agent {
			t.Error("the agent was replaced for a port")
		}
		if now, _ := w.hands.ID(name(state.Ingress, "a")); now != ingress {
			t.Error("the ingress was replaced for a port")
		}

		w.declare(small("a"))
		w.settle(time.Minute)
		w.listens("127.0.0.1:3001")
		if _, running := w.hands.ID(name(state.Ingress, "a")); running {
			t.Error("a bottle without ports has an ingress")
		}
		if now, _ := w.hands.ID(name(state.Agent, "a")); now != agent {
			t.Error("the agent was replaced because its last port was removed")
		}
		w.withdraw("b")
		w.settle(time.Minute)
		w.listens("")
		if s, _ := w.status("a"); len(s.Ports) != 0 {
			t.Errorf("ports of a bottle without: %+v", s.Ports)
		}
	})
}

// Ports are closed while the bottle is suspended or cut off, and with the controller, and are back afterwards.
func TestPortsCloseWithTheirBottle(t *testing.T) {
	simulate(t, func(w *world) {
		b := withPorts(small("a"), "127.0.0.1:3000")
		w.declare(b)
		c := w.run(nil)
		w.settle(time.Minute)
		open := func() net.Conn {
			t.Helper()
			w.listens("127.0.0.1:3000")
			conn, line := w.read("127.0.0.1:3000")
			if line != "agent:3000 of a" {
				t.Fatalf("%q", line)
			}
			return conn
		}
		closed := func(what string, conn net.Conn) {
			t.Helper()
			w.listens("")
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: the connection goes on", what)
			}
		}
		conn := open()
		b.Spec.Suspend = true
		w.declare(b)
		w.settle(time.Minute)
		closed("suspended", conn)
		b.Spec.Suspend = false
		w.declare(b)
		w.settle(time.Minute)

		conn = open()
		if err := c.Order(t.Context(), "anna", "a", reconciler.OrderCut, ""); err != nil {
			t.Fatal(err)
		}
		closed("cut off", conn)
		if err := c.Order(t.Context(), "anna", "a", reconciler.OrderResume, ""); err != nil {
			t.Fatal(err)
		}

		conn = open()
		w.end()
		closed("without a controller", conn)
		w.run(nil)
		open()
	})
}

// A port that somebody has is a condition of its bottle, which is ready nonetheless, and of no other.
func TestPortInUse(t *testing.T) {
	simulate(t, func(w *world) {
		w.network.occupy("127.0.0.1:3000", true)
		w.declare(withPorts(small("a"), "127.0.0.1:3000", "127.0.0.1:3001"), withPorts(small("b"), "127.0.0.1:4000"))
		w.run(nil)
		w.settle(time.Minute)
		w.listens("127.0.0.1:3001 127.0.0.1:4000")
		a, _ := w.status("a")
		c := a.Condition(reconciler.ConditionPortUnavailable)
		if !a.Ready || c == nil || c.Message != "127.0.0.1:3000: address already in use" {
			t.Errorf("bottle a: %+v", a)
		}
		if want := []reconciler.PortStatus{
			{Container: 3000, Host: "127.0.0.1:3000", Error: "address already in use"}, {Container: 3001, Host: "127.0.0.1:3001", Listening: true},
		}; !slices.Equal(a.Ports, want) {
			t.Errorf("its ports: %+v, want %+v", a.Ports, want)
		}
		if b, _ := w.status("b"); !b.Ready || b.Condition(reconciler.ConditionPortUnavailable) != nil {
			t.Errorf("bottle b: %+v", b)
		}
		w.pass(10 * time.Minute) // the backoff is at its longest
		w.network.occupy("127.0.0.1:3000", false)
		w.pass(20 * time.Second)
		if a, _ := w.status("a"); a.Condition(reconciler.ConditionPortUnavailable) != nil || w.network.listening() != "127.0.0.1:3000 127.0.0.1:3001 127.0.0.1:4000" {
			t.Errorf("after the other program ended: %q, %+v", w.network.listening(), a)
		}
	})
}

// An invalid manifest, an undeclared bottle that is held, an engine that is gone: what is left as it is keeps its ports.
func TestPortsOfABottleThatIsLeftAsItIs(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withPorts(small("a"), "127.0.0.1:3000"))
		w.run(nil)
		w.settle(time.Minute)
		w.listens("127.0.0.1:3000")
		w.source.mu.Lock()
		w.source.broken = map[string]string{"a": "it is invalid"}
		w.source.mu.Unlock()
		w.source.change(func(map[string]v1alpha1.Bottle) {})
		w.pass(time.Minute)
		if s, _ := w.status("a"); s.Reason != reconciler.ReasonInvalid || w.network.listening() != "127.0.0.1:3000" {
			t.Errorf("invalid: %q, %+v", w.network.listening(), s)
		}
		w.run(nil) // the record has what was declared last
		w.pass(time.Minute)
		if w.network.listening() != "127.0.0.1:3000" {
			t.Errorf("invalid, after a restart: %q", w.network.listening())
		}
	})
}

// Clients beyond the bounds are turned away, and the others served.
func TestTooManyClients(t *testing.T) {
	simulate(t, func(w *world) {
		w.declare(withPorts(small("a"), "127.0.0.1:3000"))
		w.run(nil)
		w.settle(time.Minute)
		w.listens("127.0.0.1:3000")
		var open []net.Conn
		for range 100 {
			c, line := w.read("127.0.0.1:3000")
			if line != "agent:3000 of a" {
				t.Fatalf("client %d: %q", len(open)+1, line)
			}
			open = append(open, c)
		}
		if _, line := w.read("127.0.0.1:3000"); line != io.EOF.Error() {
			t.Errorf("one client more than there may be: %q", line)
		}
		if err := open[0].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
		w.pass(time.Second)
		if _, line := w.read("127.0.0.1:3000"); line != "agent:3000 of a" {
			t.Errorf("after one has gone: %q", line)
		}
	})
}
