package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// serving is the manifest of bottle one, whose agent serves a page on 3000 and counts bytes on 4000, with ports as a flow list.
func serving(ports string) string {
	return strings.Replace(small("one"), "[agent]", "[serve], ports: "+ports, 1)
}

// freeAddress is an address of this host on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// page reads the agent's page, on a connection of its own.
func page(address string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wellWithin}
	r, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return string(text), err
}

// pageIs waits for the agent's page, and returns it.
func pageIs(t *testing.T, e *harness.Env, what, address string) (text string) {
	t.Helper()
	e.Eventually(wellWithin, what, func() (bool, string) {
		var err error
		text, err = page(address)
		return strings.HasPrefix(text, "a page of the agent"), fmt.Sprint(text, err)
	})
	return text
}

// closed waits until nothing listens at an address.
func closed(t *testing.T, e *harness.Env, what, address string) {
	t.Helper()
	e.Eventually(wellWithin, what, func() (bool, string) {
		_, err := page(address)
		return errors.Is(err, syscall.ECONNREFUSED), fmt.Sprint(err)
	})
}

// counted sends bytes and their end, and returns the answer that comes after that.
func counted(t *testing.T, address string, n int) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, wellWithin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wellWithin))
	_, err = conn.Write(make([]byte, n))
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.CloseWrite())
	}
	answer, failed := io.ReadAll(conn)
	if err = errors.Join(err, failed); err != nil {
		t.Error(err)
	}
	return string(answer)
}

// upgraded is a connection that speaks another protocol, in which the agent echoes.
func upgraded(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, wellWithin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprint(conn, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(conn, 1), nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(r, err)
	}
	if got := echoed(conn, "ping"); got != "ping" {
		t.Fatalf("it echoes %q", got)
	}
	return conn
}

// echoed sends a text and returns what comes back, or the error.
func echoed(conn net.Conn, text string) string {
	_ = conn.SetDeadline(time.Now().Add(wellWithin))
	if _, err := io.WriteString(conn, text); err != nil {
		return err.Error()
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(conn, back); err != nil {
		return err.Error()
	}
	return string(back)
}

// thousand clients hold a connection each, at the same time, and read the page in it.
func thousand(t *testing.T, address string) {
	t.Helper()
	var all, open sync.WaitGroup
	open.Add(1000)
	for range 1000 {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", address, time.Minute)
			open.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			open.Wait()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
			text, failed := io.ReadAll(conn)
			if err != nil || failed != nil || !strings.Contains(string(text), "a page of the agent") {
				t.Errorf("%q, %v", text, errors.Join(err, failed))
			}
		})
	}
	all.Wait()
}

// TestPorts reaches an agent through the ports that its manifest declares, while everything around it changes.
func TestPorts(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	first, second, third := freeAddress(t), freeAddress(t), freeAddress(t)
	e.Write("one.yaml", serving(fmt.Sprintf("[{container: 3000, host: %q}, {container: 4000, host: %q}]", first, second)))
	c := e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	before := pageIs(t, e, "the page", first)
	if got := counted(t, second, 1<<20); got != "1048576 bytes\n" {
		t.Errorf("after the client's end: %q", got)
	}
	open := upgraded(t, first)
	began := time.Now()
	thousand(t, first)
	t.Logf("1000 clients at once: %s", time.Since(began))
	checkIngress(t, e, e.Name(state.Ingress, "one"))
	agent := containerID(e, state.Agent, "one")

	e.Write("one.yaml", serving(fmt.Sprintf("[{container: 3000, host: %q}, {container: 3000, host: %q}]", first, third)))
	pageIs(t, e, "the port that was added", third)
	closed(t, e, "the port that was removed", second)
	if got := echoed(open, "still"); got != "still" {
		t.Errorf("a connection of another port: %s", got)
	}
	e.Docker("rm", "-f", e.Name(state.Ingress, "one"))
	pageIs(t, e, "with another ingress", first)
	if now := containerID(e, state.Agent, "one"); now != agent {
		t.Errorf("the agent was replaced: %s, before %s", now, agent)
	}
	open = upgraded(t, first)
	e.Expect(exitDone, "restart", "one/agent")
	if after := pageIs(t, e, "after the agent's restart", first); after == before {
		t.Error("the agent was not restarted")
	}
	if got := echoed(open, "lost"); got == "lost" {
		t.Error("a connection outlives its agent")
	}
	c.Signal(syscall.SIGKILL)
	if _, ended := c.Wait(wellWithin); !ended {
		t.Fatal("the controller does not end")
	}
	closed(t, e, "without a controller", first)
	c = e.Controller("--resync", "1h").Ready()
	pageIs(t, e, "with another controller", first)
	c.Stop()
	closed(t, e, "after the controller's end", first)
}

func containerID(e *harness.Env, component state.ComponentName, slug string) string {
	return strings.TrimSpace(e.Docker("inspect", "-f", "{{.Id}}", e.Name(component, slug)))
}

// checkIngress looks at what a container has that is the way into a bottle: nothing that leads out, and nothing to write to.
func checkIngress(t *testing.T, e *harness.Env, name string) {
	t.Helper()
	got := e.Docker("inspect", "-f", `{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}| {{.HostConfig.PortBindings}} {{.NetworkSettings.Ports}} | {{range .Mounts}}{{.Destination}} {{.RW}} {{end}}| {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}}`, name)
	user := "65532:65532"
	if os.Geteuid() != 0 {
		user = fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	}
	if want := e.Network("net", "one") + " | map[] map[] | /run/ingress false | true [ALL] " + user; got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
	if got := e.Docker("inspect", "-f", "{{.HostConfig.PortBindings}} {{.NetworkSettings.Ports}}", e.Name(state.Agent, "one")); got != "map[] map[]" {
		t.Errorf("the agent's published ports: %s", got)
	}
}

// TestPortsCloseWithTheirBottle also shows how status and describe report a port.
func TestPortsCloseWithTheirBottle(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	first, taken := freeAddress(t), freeAddress(t)
	other, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	e.Write("one.yaml", serving(fmt.Sprintf("[{container: 3000, host: %q}, {container: 4000, host: %q}]", first, taken)))
	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	pageIs(t, e, "the page", first)
	b := bottleIs(t, e, "one", "ready, with a port that is taken", func(b reconciler.BottleStatus) bool {
		return b.Ready && b.IsTrue(reconciler.ConditionPortUnavailable)
	})
	if len(b.Ports) != 2 || !b.Ports[0].Listening || b.Ports[1].Error != "address already in use" {
		t.Errorf("its ports: %+v", b.Ports)
	}
	if r := e.Expect(exitDone, "status", "one"); !strings.Contains(r.Stdout, "one: port unavailable: "+taken+": address already in use") {
		t.Errorf("status:\n%s", r.Stdout)
	}
	if r := e.Expect(exitDone, "describe", "one"); !strings.Contains(r.Stdout, first+" leads to port 3000") {
		t.Errorf("describe:\n%s", r.Stdout)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	e.Eventually(wellWithin, "the port that was taken", func() (bool, string) {
		conn, err := net.Dial("tcp", taken)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil, fmt.Sprint(err)
	})
	for _, order := range [][]string{{"suspend", "one"}, {"cut", "one"}} {
		open := upgraded(t, first)
		e.Expect(exitDone, order...)
		closed(t, e, order[0], first)
		if got := echoed(open, "lost"); got == "lost" {
			t.Errorf("%s: the connection goes on", order[0])
		}
		e.Expect(exitDone, "resume", "one")
		settledReady(t, e, "one")
		pageIs(t, e, "resumed", first)
	}
	if err := os.Remove(filepath.Join(e.Manifests, "one.yaml")); err != nil {
		t.Fatal(err)
	}
	e.Expect(exitDone, "sync", "--prune-held")
	closed(t, e, "after the bottle's removal", first)
	if left, err := os.ReadDir(filepath.Join(e.RunDir, "one")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left in the run directory: %v, %v", left, err)
	}
}

var forwarded = regexp.MustCompile(`(\S+) leads to port (\d+) of bottle one\n`)

// forward runs port-forward, and returns the local addresses.
func forward(t *testing.T, e *harness.Env, args ...string) (c *talk, local []string) {
	t.Helper()
	c = onPipes(t, e, append([]string{"port-forward", "one"}, args...)...)
	e.Eventually(wellWithin, "it forwards", func() (bool, string) {
		local = nil
		for _, m := range forwarded.FindAllStringSubmatch(c.out.String(), -1) {
			local = append(local, m[1])
		}
		return len(local) == len(args), c.out.String() + c.errOut.String()
	})
	return c, local
}

func forwards(e *harness.Env) string {
	return owned(e, "--filter", "label="+state.LabelRole+"="+string(state.PortForward))
}

func noForwards(t *testing.T, e *harness.Env, what string) {
	t.Helper()
	e.Eventually(wellWithin, what+": nothing is left of it", func() (bool, string) {
		left := forwards(e)
		return left == "", left
	})
}

// TestPortForward reaches an agent that declares no port, without a controller and beside one.
func TestPortForward(t *testing.T) {
	t.Parallel()
	e := harness.New(t)
	e.Write("one.yaml", serving("[]"))
	e.Reconcile(exitDone)
	c, local := forward(t, e, ":3000", ":4000", ":5000")
	pageIs(t, e, "the page", local[0])
	if got := counted(t, local[1], 100); got != "100 bytes\n" {
		t.Errorf("after the client's end: %q", got)
	}
	upgraded(t, local[0])
	thousand(t, local[0])
	if _, err := page(local[2]); err == nil {
		t.Error("a page where nothing listens")
	}
	e.Eventually(wellWithin, "it says why", func() (bool, string) {
		return strings.Contains(c.errOut.String(), "port 5000 of the agent: nothing listens on that port"), c.errOut.String()
	})
	checkIngress(t, e, forwards(e))
	asDeclared(t, e) // it is nothing that a pass repairs
	e.Docker("stop", e.Name(state.Agent, "one"))
	if _, err := page(local[0]); err == nil {
		t.Error("a page of an agent that does not run")
	}
	e.Reconcile(exitDone)
	pageIs(t, e, "after the agent's restart", local[0])
	c.signal(os.Interrupt)
	c.ends(exitDone)
	noForwards(t, e, "interrupted")

	c, _ = forward(t, e, ":3000")
	c.signal(syscall.SIGKILL)
	noForwards(t, e, "killed")
	c, local = forward(t, e, ":3000")
	if found, err := filepath.Glob(filepath.Join(e.RunDir, "one", "port-forward-*")); err != nil || len(found) != 1 {
		t.Errorf("directories of one that runs: %v, %v", found, err)
	}
	occupied := strings.TrimPrefix(local[0], "127.0.0.1:")
	if r := e.Bottled("port-forward", "one", occupied+":3000"); r.Code != exitFailed || !strings.Contains(r.Stderr, "address already in use; choose another port") {
		t.Errorf("a port in use: %d, %s", r.Code, r.Stderr)
	}

	e.Controller("--resync", "1h").Ready()
	settledReady(t, e, "one")
	pageIs(t, e, "beside a controller", local[0])
	e.Expect(exitDone, "cut", "one")
	c.ends(exitFailed)
	if !strings.Contains(c.errOut.String(), "was the bottle suspended, cut off or removed?") {
		t.Errorf("it says %q", c.errOut)
	}
	if r := e.Bottled("port-forward", "one", ":3000"); r.Code != exitFailed || !strings.Contains(r.Stderr, "bottled resume one") {
		t.Errorf("to a bottle that is cut off: %d, %s", r.Code, r.Stderr)
	}
	e.Expect(exitDone, "resume", "one")
	noForwards(t, e, "cut off")
}
