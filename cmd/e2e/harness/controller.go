package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/bot-bottle/bottled/reconciler"
)

// stopGrace is how long a controller may take to end.
const stopGrace = 15 * time.Second

// Controller is a bottled process that stays.
type Controller struct {
	env            *Env
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{} // closed when it has ended
}

// output collects what a process prints while it's read.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// Controller starts a controller for the directory of manifests. It is stopped when the test ends.
func (e *Env) Controller(args ...string) *Controller {
	e.tb.Helper()
	return e.ControllerOf(append([]string{e.Manifests}, args...)...)
}

// ControllerOf starts a controller with other sources: everything that follows reconcile is given.
func (e *Env) ControllerOf(args ...string) *Controller {
	e.tb.Helper()
	c := &Controller{env: e, cmd: e.Command(append([]string{"reconcile"}, args...)...), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.WaitDelay = 5 * time.Second // for a child of its that keeps stderr open
	e.must(c.cmd.Start())
	go func() {
		_ = c.cmd.Wait() // its ProcessState tells how it ended
		close(c.ended)
	}()
	e.tb.Cleanup(c.end)
	return c
}

func (c *Controller) end() {
	c.Stop()
	if c.env.tb.Failed() {
		c.env.tb.Logf("the end of the controller's log (process %d):\n%s", c.PID(), lastLines(c.LogText(), 100))
	}
}

// PID is the controller's process id.
func (c *Controller) PID() int { return c.cmd.Process.Pid }

// Signal sends the controller a signal; it must not have ended.
func (c *Controller) Signal(s os.Signal) {
	c.env.tb.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.env.tb.Fatalf("send %s to the controller: %v", s, err)
	}
}

// Stop ends the controller with SIGTERM, if it hasn't ended. One that takes longer than 15 s fails the test.
func (c *Controller) Stop() Result {
	c.env.tb.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	_ = c.cmd.Process.Signal(syscall.SIGCONT) // so that it hears the other one
	if _, ended := c.Wait(stopGrace); !ended {
		c.env.tb.Errorf("the controller does not end %s after SIGTERM: it is killed", stopGrace)
		_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
		<-c.ended
	}
	return Result{Stdout: c.stdout.String(), Stderr: c.stderr.String(), Code: c.cmd.ProcessState.ExitCode()}
}

// Wait waits for the controller's end, but not longer than d. The exit code is -1 when a signal ended it.
func (c *Controller) Wait(d time.Duration) (code int, ended bool) {
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode(), true
	case <-time.After(d):
		return 0, false
	}
}

// Ready waits until the controller says that it is ready, and returns it.
func (c *Controller) Ready() *Controller {
	c.env.tb.Helper()
	c.env.Eventually(time.Minute, "the controller is ready", func() (bool, string) {
		c.env.tb.Helper()
		if code, ended := c.Wait(0); ended {
			c.env.tb.Fatalf("the controller ended with exit code %d before it was ready", code)
		}
		err := c.ready()
		return err == nil, fmt.Sprint(err)
	})
	return c
}

// ready also makes sure that no other controller of the Env's answers.
func (c *Controller) ready() error {
	if _, err := c.env.get("/readyz"); err != nil {
		return err
	}
	live, err := c.env.live()
	if err == nil && (live.Controller == nil || live.Controller.PID != c.PID()) {
		err = fmt.Errorf("another controller answers: %+v, not process %d", live.Controller, c.PID())
	}
	return err
}

// LogText is what the controller has logged.
func (c *Controller) LogText() string { return c.stderr.String() }

// LogLine is one line of the controller's log.
type LogLine struct {
	Level, Message, Bottle, Component, Reason string
	Raw                                       map[string]any // nil for a line that is not JSON, which then is the Message
}

// Log is what the controller has logged, line by line.
func (c *Controller) Log() []LogLine {
	var lines []LogLine
	for text := range strings.Lines(c.LogText()) {
		lines = append(lines, parseLine(strings.TrimSuffix(text, "\n")))
	}
	return lines
}

func parseLine(text string) LogLine {
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return LogLine{Message: text} // a panic, say
	}
	field := func(name string) string {
		value, _ := raw[name].(string)
		return value
	}
	return LogLine{
		Level: field("level"), Message: field("message"), Bottle: field("bottle"), Component: field("component"), Reason: field("reason"), Raw: raw,
	}
}

// LogCount counts the lines of the log that contain a text.
func (c *Controller) LogCount(text string) int {
	n := 0
	for line := range strings.Lines(c.LogText()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// Status is what the running controller reports.
func (e *Env) Status() reconciler.Status {
	e.tb.Helper()
	live, err := e.live()
	e.must(err)
	return live
}

// Bottle is what the running controller tells about a bottle; ok is false when it does not know it, or does not answer:
// then the Message is why.
func (e *Env) Bottle(slug string) (status reconciler.BottleStatus, ok bool) {
	live, err := e.live()
	if err != nil {
		return reconciler.BottleStatus{Slug: slug, Message: err.Error()}, false
	}
	for _, b := range live.Bottles {
		if b.Slug == slug {
			return b, true
		}
	}
	return reconciler.BottleStatus{Slug: slug, Message: "the controller does not know it"}, false
}

func (e *Env) live() (reconciler.Status, error) {
	var live reconciler.Status
	data, err := e.get("/v1/status")
	if err == nil {
		err = json.Unmarshal(data, &live)
	}
	return live, err
}

// Metric is the sum of a metric's series that have these labels, 0 when none has: of a histogram or summary, of the
// counts of its observations. It is NaN when there is no such metric.
func (e *Env) Metric(name string, labels map[string]string) float64 {
	e.tb.Helper()
	data, err := e.get("/metrics")
	e.must(err)
	value, err := metric(data, name, labels)
	e.must(err)
	return value
}

func metric(text []byte, name string, labels map[string]string) (float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	family, ok := families[name]
	if !ok {
		return math.NaN(), nil
	}
	sum := 0.0
	for _, m := range family.GetMetric() {
		matching := 0
		for _, l := range m.GetLabel() {
			if want, ok := labels[l.GetName()]; ok && want == l.GetValue() {
				matching++
			}
		}
		if matching == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() +
				float64(m.GetHistogram().GetSampleCount()+m.GetSummary().GetSampleCount())
		}
	}
	return sum, nil
}

// get asks the controller over its socket. An answer other than 200 is an error.
func (e *Env) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://controller"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	// No connection is kept: the next controller has the same socket.
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket())
	}}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, bytes.TrimSpace(data))
	}
	return data, nil
}

// Socket is where the controller listens.
func (e *Env) Socket() string { return filepath.Join(e.RunDir, "controller.sock") }

// Eventually asks again and again until the condition holds, and returns how long that took. When it does not within the
// limit, the test fails and says what it waited for and how things are now. Asking takes a third of the time at most: the
// machine is for what is waited for.
func (e *Env) Eventually(limit time.Duration, what string, cond func() (ok bool, now string)) time.Duration {
	e.tb.Helper()
	for start := time.Now(); ; {
		asked := time.Now()
		ok, now := cond()
		took := time.Since(start)
		if ok {
			return took
		}
		if took > limit {
			e.tb.Fatalf("not within %s: %s; now: %s", limit, what, now)
		}
		time.Sleep(max(20*time.Millisecond, 2*time.Since(asked)))
	}
}
