package supervise

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/state/queue"
)

// asProgram makes the test binary be the program.
const asProgram = "SUPERVISE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	cmd := Command()
	cmd.SetArgs(os.Args[1:])
	if err := cmd.Execute(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// startProcess runs the sidecar in a process of its own, and returns when it serves.
func (b *bottle) startProcess(address, name string, args ...string) *exec.Cmd {
	b.t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(name, append(args, "run")...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "SUPERVISE_BOTTLE_SLUG=dev", "SUPERVISE_QUEUE_DIR="+b.dir,
		"SUPERVISE_PORT="+port, "SUPERVISE_CURRENT_CONFIG_DIR="+b.current)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), `"event":"config"`) {
		fmt.Fprintln(b.log, lines.Text())
	}
	go func() {
		for lines.Scan() {
			fmt.Fprintln(b.log, lines.Text())
		}
	}()
	b.server = &httptest.Server{URL: "http://" + address}
	b.until("the process to serve", func() bool {
		resp, err := http.Get(b.server.URL + healthPath)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return cmd
}

func newProcessBottle(t *testing.T) *bottle {
	t.Helper()
	dir := sidecartest.MemoryDir(t)
	return &bottle{t: t, dir: dir, current: currentConfig(t), queue: openQueue(t, dir), log: &sidecartest.Buffer{}}
}

// TestKill9 kills the sidecar while calls wait. One is answered while there is no sidecar, by a controller that
// was restarted too; the other one afterwards.
func TestKill9(t *testing.T) {
	b := newProcessBottle(t)
	address := sidecartest.FreeAddress(t)
	process := b.startProcess(address, os.Args[0])
	urls := []string{"https://a.example", "https://b.example"}
	for _, url := range urls {
		call := callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL(url))
		defer func() {
			select {
			case o := <-call:
				if o.err == nil && !o.result.IsError {
					t.Errorf("the call of a killed sidecar returned %s", text(o.result))
				}
			case <-time.After(patience):
				t.Error("the call of a killed sidecar does not return")
			}
		}()
	}
	pending := b.pending(2)
	b.until("both proposals to be written", func() bool { return b.files() == 2 }) // a kill before leaves a temporary file, which is swept later
	if err := process.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait() // killed

	b.queue = openQueue(t, b.dir)
	first := b.pending(2)[0]
	if first.ID != pending[0].ID {
		t.Fatalf("pending is %s; want %s, as before", first.ID, pending[0].ID)
	}
	b.answer(first.ID, queue.Answer{Status: queue.Modified, Notes: "while you were away", By: "alice"})

	b.startProcess(address, os.Args[0])
	b.expect(callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL(first.Payload)), decision{"modified", "while you were away"})
	second := b.pending(1)[0]
	call := callTool(t.Context(), b.connect("/mcp"), queue.PipelockBlock, askURL(second.Payload))
	b.until("the call to find its proposal", func() bool {
		return strings.Contains(b.log.String(), `"action":"found","tool":"`+string(second.Tool)+`","id":"`+second.ID)
	})
	b.answer(second.ID, queue.Answer{Status: queue.Rejected, Notes: "no", By: "alice"})
	b.expect(call, decision{"rejected", "no"})
	b.pending(0)
}

// TestMemoryUnderAttack is the real executable under as many of the largest requests as it takes: calls that wait,
// objects that are much larger when they are decoded, and answers that nobody reads.
func TestMemoryUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the executable")
	}
	bombs := 64
	if sidecartest.Nightly() {
		bombs = 2000
	}
	b := newProcessBottle(t)
	pid := b.startProcess(sidecartest.FreeAddress(t), sidecartest.BuildBottled(t), "sidecar", "supervise").Process.Pid
	idle := sidecartest.PeakMemory(t, pid)

	// Waiting calls: 63 KiB of Dockerfile, padded to the largest body.
	dockerfile := "FROM a\\n" + strings.Repeat("#", maxDockerfileBytes-100)
	for i := range maxWaiting {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"capability-block","arguments":{"dockerfile":"%s%d\n","justification":"j"}}}`,
			i, dockerfile, i%queue.MaxPending)
		b.postAsync("", body+strings.Repeat(" ", maxBodyBytes-len(body)))
		queued := min(i+1, queue.MaxPending)
		b.until("its proposal to be queued", func() bool { return strings.Count(b.log.String(), `"action":"new"`) == queued }) // too many at once get 503
	}
	b.pending(queue.MaxPending)
	waiting := sidecartest.PeakMemory(t, pid)

	// Arguments that take many times their size when they are decoded.
	bomb := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cred-proxy-block","arguments":{"justification":"j","routes":[` +
		strings.TrimSuffix(strings.Repeat("{},", (maxBodyBytes-1000)/3), ",") + `]}}}`
	var attackers []<-chan *http.Response
	for range bombs {
		if attackers = append(attackers, b.postAsync("", bomb)); len(attackers) == 32 { // at once
			<-attackers[0]
			attackers = attackers[1:]
		}
	}
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list-current-config","arguments":{}}}`
	sidecartest.WriteFile(t, filepath.Join(b.current, "Dockerfile"), strings.Repeat("# "+strings.Repeat("x", 100)+"\n", 9000))
	for range 64 {
		conn := sidecartest.Dial(t, strings.TrimPrefix(b.server.URL, "http://"))
		if _, err := io.WriteString(conn, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", postHead, len(list), list)); err != nil {
			t.Fatal(err)
		}
	}
	highest := sidecartest.SettledMemory(t, pid, 5*time.Second)
	t.Logf("highest resident set: idle %d MiB, with %d waiting calls %d MiB, under attack %d MiB",
		idle/sidecartest.MiB, maxWaiting, waiting/sidecartest.MiB, highest/sidecartest.MiB)
	if highest > 224*sidecartest.MiB {
		t.Error("the container's limit is 256 MiB")
	}
	b.pending(queue.MaxPending)
}
