package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// idleTime is how long the controller is left alone to see what it costs.
const idleTime = 5 * time.Minute

// BenchmarkController reports how fast a controller of 40 bottles reacts, beside the raw engine's create and start in the
// same run, and what it costs when nothing happens. It is run by `task bench:controller` and takes about eight minutes.
func BenchmarkController(b *testing.B) {
	if b.N > 1 {
		b.Fatal("one measurement takes minutes: use -benchtime 1x")
	}
	m := &controllerBench{bench: newBench(b, 40)}
	m.firstCalls()
	c := m.env.Controller().Ready()
	m.settled(0)
	m.reactions()
	m.idle(c)
	b.ReportMetric(0, "ns/op")
}

type controllerBench struct {
	*bench
	generation int
}

// next declares one bottle in another way: reloaded or, with another private range, with a pipelock made anew.
func (m *controllerBench) next(i int, replace bool) {
	m.b.Helper()
	m.generation++
	cidr := "192.168.0.0/24"
	if replace {
		cidr = fmt.Sprintf("192.168.%d.0/24", m.generation%200+1)
	}
	m.write(i, fmt.Sprintf("host%d.demo.example", m.generation), cidr)
}

// settled waits until a bottle is ready as declared last, and nothing is under way.
func (m *controllerBench) settled(i int) {
	m.b.Helper()
	slug := fmt.Sprintf("b%03d", i)
	for deadline := time.Now().Add(2 * time.Minute); ; harness.Elapse(2 * time.Millisecond) {
		b, ok := m.env.Bottle(slug)
		if ok && b.Ready && b.Generation == b.ObservedGeneration && conditionOf(b, "Reconciling") == "False" {
			return
		}
		if time.Now().After(deadline) {
			m.b.Fatalf("%+v", b)
		}
	}
}

func (m *controllerBench) allSettled() {
	m.b.Helper()
	for i := range m.n {
		m.settled(i)
	}
	harness.Elapse(3 * time.Second) // what its own work leads to
}

// firstCalls measures the time from the rename of a manifest to the first call that the engine gets for it.
func (m *controllerBench) firstCalls() {
	m.b.Helper()
	proxy := m.env.Proxy()
	c := m.env.Controller("--resync", "1h").Ready()
	m.allSettled()
	var took []time.Duration
	for i := range 20 {
		first := make(chan time.Time, 1)
		var once sync.Once
		proxy.Reset(func(_ int, call string) harness.Outcome {
			if !strings.HasSuffix(call, "/logs") { // the audit logs' reads come at any time
				once.Do(func() { first <- time.Now() })
			}
			return harness.Pass
		})
		m.next(i, false)
		began := time.Now() // after the rename
		took = append(took, (<-first).Sub(began))
		m.settled(i)
		harness.Elapse(2 * time.Second)
	}
	proxy.Reset(nil)
	c.Stop()
	m.env.Extra = nil // no proxy any more
	fmt.Printf("\n%d bottles, load %s\nrename -> first engine call: median %s (%s … %s, %d runs; aim: < 100 ms)\n", m.n, load(),
		round(median(took)), round(minOf(took)), round(maxOf(took)), len(took))
	m.b.ReportMetric(float64(median(took).Milliseconds()), "first-call-ms")
}

func minOf(all []time.Duration) time.Duration {
	least := all[0]
	for _, d := range all {
		least = min(least, d)
	}
	return least
}

func maxOf(all []time.Duration) time.Duration {
	most := all[0]
	for _, d := range all {
		most = max(most, d)
	}
	return most
}

// reactions measures by turns the controller and the raw client.
func (m *controllerBench) reactions() {
	m.b.Helper()
	m.allSettled()
	ctx := m.b.Context()
	one := m.raw.bottles[:1]
	raw := one[0]
	m.raw.must(m.raw.up(ctx, 1, one))
	pipelock := raw.Components[0].Container
	var reload, replace, heal, rawStart []time.Duration
	for i := range 15 {
		m.next(i, false)
		reload = append(reload, m.time(func() { m.changed(i) }))
		m.next(i, true)
		replace = append(replace, m.time(func() { m.changed(i) }))
		m.raw.must(m.raw.engine.RemoveContainer(ctx, m.env.Name(state.Pipelock, fmt.Sprintf("b%03d", i))))
		heal = append(heal, m.time(func() { m.healed(i) }))
		harness.Elapse(1500 * time.Millisecond)
		m.raw.must(m.raw.engine.RemoveContainer(ctx, pipelock.Name))
		rawStart = append(rawStart, m.time(func() { m.raw.must(m.raw.run(ctx, pipelock)) }))
		harness.Elapse(500 * time.Millisecond)
	}
	m.raw.must(m.raw.down(ctx, 4, one))
	report := func(what string, took []time.Duration) {
		fmt.Printf("%s: median %s (%s … %s, %d runs)\n", what, round(median(took)), round(minOf(took)), round(maxOf(took)), len(took))
	}
	report("rename -> ready, reloaded", reload)
	report("rename -> ready, pipelock replaced", replace)
	report("docker rm -f -> ready", heal)
	report("raw create, connect and start of the same container, its readiness not awaited", rawStart)
	ratio := median(heal).Seconds() / median(rawStart).Seconds()
	fmt.Printf("docker rm -f -> ready / raw: %.2f\n", ratio)
	m.b.ReportMetric(ratio, "heal/raw")
	m.b.ReportMetric(float64(median(reload).Milliseconds()), "reload-ms")
}

// changed waits until the declaration made last is the one that is told, and carried out.
func (m *controllerBench) changed(i int) {
	m.b.Helper()
	want := fmt.Sprintf("host%d.demo.example", m.generation)
	for !strings.Contains(m.rendered(i), want) {
		harness.Elapse(2 * time.Millisecond)
	}
	m.settled(i)
}

func (m *controllerBench) rendered(i int) string {
	m.b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("%s/bottles/b%03d/pipelock/pipelock.yaml", m.env.StateDir, i))
	if err != nil {
		m.b.Fatal(err)
	}
	return string(data)
}

// healed waits until the controller has noticed that pipelock is gone, and made it anew.
func (m *controllerBench) healed(i int) {
	m.b.Helper()
	for {
		b, _ := m.env.Bottle(fmt.Sprintf("b%03d", i))
		if !b.Ready {
			break
		}
		harness.Elapse(2 * time.Millisecond)
	}
	m.settled(i)
}

// idle leaves the controller alone and says what it did meanwhile.
func (m *controllerBench) idle(c *harness.Controller) {
	m.b.Helper()
	m.allSettled()
	verbs := []string{"ping", "events", "list_containers", "list_networks", "list_volumes", "list_images", "inspect_container", "logs", "health"}
	calls := func() map[string]float64 {
		found := map[string]float64{"all": m.env.Metric("bottled_engine_calls_total", nil)}
		for _, v := range verbs {
			found[v] = m.env.Metric("bottled_engine_calls_total", map[string]string{"verb": v})
		}
		return found
	}
	before, cpu := calls(), cpuSeconds(m.b, c.PID())
	harness.Elapse(idleTime)
	used, after := cpuSeconds(m.b, c.PID())-cpu, calls()
	rss := residentMiB(m.b, c.PID())
	fmt.Printf("idle for %s: %.2f CPU seconds (%.3f %%; aim: < 0.1 %%), %.1f MiB resident (aim: < 40), %.0f engine calls:", idleTime, used,
		100*used/idleTime.Seconds(), rss, after["all"]-before["all"])
	for _, v := range verbs {
		if n := after[v] - before[v]; n > 0 {
			fmt.Printf(" %s %.0f", v, n)
		}
	}
	fmt.Println()
	m.b.ReportMetric(100*used/idleTime.Seconds(), "idle-cpu-%")
	m.b.ReportMetric(rss, "rss-MiB")
	m.b.ReportMetric(after["all"]-before["all"], "idle-calls")
}

// cpuSeconds is what a process has used so far (proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms).
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return float64(ticks) / 100
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(kib)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(n) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
