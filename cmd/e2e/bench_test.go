package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// BenchmarkEngine reports what bottled costs beside a raw API client that makes the same networks and containers, on
// the same engine in the same run. It is run by `task bench`, takes about fifteen minutes and judges nothing: it prints a
// table of medians, and the figures that have an aim as the benchmark's metrics. On a machine that does something else besides,
// it measures that too.
func BenchmarkEngine(b *testing.B) {
	for _, size := range []struct{ bottles, rounds int }{{10, 5}, {40, 3}} {
		b.Run(fmt.Sprintf("bottles=%d", size.bottles), func(b *testing.B) {
			if b.N > 1 {
				b.Fatal("one measurement takes minutes: use -benchtime 1x")
			}
			newBench(b, size.bottles).report(size.rounds)
		})
	}
}

// concurrencies are how many bottles (up) or objects (down) the raw client works on at once: its best one counts.
var concurrencies = []int{1, 2, 4, 8, 12}

const (
	idleRuns    = 20
	changedRuns = 7
)

type bench struct {
	b   *testing.B
	n   int
	env *harness.Env
	raw *raw
}

func newBench(b *testing.B, n int) *bench {
	b.Helper()
	e := harness.New(b)
	e.Write("token", testToken)
	m := &bench{b: b, n: n, env: e}
	for i := range n {
		m.write(i, "docs.demo.example", "192.168.0.0/24")
	}
	m.raw = newRaw(b, e)
	return m
}

// write writes the manifest of a bottle of two networks and three sidecars.
func (m *bench) write(i int, host, cidr string) {
	slug := fmt.Sprintf("b%03d", i)
	m.b.Helper()
	hidden := m.env.Write("."+slug, fmt.Sprintf(`apiVersion: bottled/v1alpha1
kind: Bottle
metadata: {name: %s}
spec:
  supervise: true
  egress: {allowlist: [%q], privateCIDRs: [%s]}
  credProxy:
    routes: [{path: /api/, upstream: "https://api.demo.example", token: {file: ./token}}]
`, slug, host, cidr))
	if err := os.Rename(hidden, filepath.Join(m.env.Manifests, slug+".yaml")); err != nil {
		m.b.Fatal(err)
	}
}

// row is one line of the table.
type row struct {
	what    string
	bottled []time.Duration
	raw     time.Duration
	how     string // what the raw client did
	aim     string
}

func (r row) ratio() float64 { return median(r.bottled).Seconds() / r.raw.Seconds() }

func (m *bench) report(rounds int) {
	m.b.Helper()
	before := load()
	up, down := m.coldAndDown(rounds)
	idle := m.idle()
	calls := m.calls()
	changed, reload := m.changed()
	down.bottled = append(down.bottled, m.time(func() { m.env.Expect(exitDone, "delete", "--all") }))

	fmt.Printf("\n%d bottles: %d networks, %d containers; load before %s, after %s\n", m.n, 2*m.n, 3*m.n, before, load())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tbottled\tfrom … to\truns\traw\tratio\taim\tthe raw client")
	for _, r := range []row{up, idle, changed, reload, down} {
		fmt.Fprintf(w, "%s\t%s\t%s … %s\t%d\t%s\t%.2f\t%s\t%s\n", r.what, round(median(r.bottled)),
			round(slices.Min(r.bottled)), round(slices.Max(r.bottled)), len(r.bottled), round(r.raw), r.ratio(), r.aim, r.how)
	}
	_ = w.Flush()
	fmt.Printf("engine calls of a no-op: %d (aim: at most 6): %s\n\n", len(calls), strings.Join(calls, ", "))

	m.b.ReportMetric(0, "ns/op") // the sum of it all tells nothing
	m.b.ReportMetric(up.ratio(), "cold/raw")
	m.b.ReportMetric(float64(median(idle.bottled).Microseconds())/1000, "noop-ms")
	m.b.ReportMetric(float64(len(calls)), "noop-calls")
	m.b.ReportMetric(changed.ratio(), "changed/raw")
}

// coldAndDown finds the raw client's best concurrency, then measures it and bottled by turns, so that both see the same
// machine. It leaves the bottles up.
func (m *bench) coldAndDown(rounds int) (up, down row) {
	m.b.Helper()
	bestUp, bestDown := m.sweep()
	up = row{what: "cold", aim: "≤ 1.15", how: fmt.Sprintf("%d bottles at once", bestUp)}
	down = row{what: "down", how: fmt.Sprintf("%d objects at once", bestDown)}
	var rawUps, rawDowns []time.Duration
	for i := range rounds {
		rawUps = append(rawUps, m.rawUp(bestUp))
		rawDowns = append(rawDowns, m.rawDown(bestDown))
		up.bottled = append(up.bottled, m.time(func() { m.env.Reconcile(exitDone) }))
		if i < rounds-1 {
			down.bottled = append(down.bottled, m.time(func() { m.env.Expect(exitDone, "delete", "--all") }))
		}
	}
	up.raw, down.raw = median(rawUps), median(rawDowns)
	return up, down
}

// sweep returns the concurrencies at which the raw client was fastest.
func (m *bench) sweep() (up, down int) {
	m.b.Helper()
	var fastestUp, fastestDown time.Duration
	for _, k := range concurrencies {
		tookUp, tookDown := m.rawUp(k), m.rawDown(k)
		if up == 0 || tookUp < fastestUp {
			up, fastestUp = k, tookUp
		}
		if down == 0 || tookDown < fastestDown {
			down, fastestDown = k, tookDown
		}
	}
	return up, down
}

func (m *bench) rawUp(parallel int) time.Duration {
	m.b.Helper()
	return m.time(func() { m.raw.must(m.raw.up(m.b.Context(), parallel, m.raw.bottles)) })
}

func (m *bench) rawDown(parallel int) time.Duration {
	m.b.Helper()
	return m.time(func() { m.raw.must(m.raw.down(m.b.Context(), parallel, m.raw.bottles)) })
}

func (m *bench) idle() row {
	m.b.Helper()
	r := row{what: "no-op", aim: "≤ 60 ms", how: "three listings"}
	var listings []time.Duration
	for range idleRuns {
		r.bottled = append(r.bottled, m.time(func() { m.env.Reconcile(exitDone) }))
		listings = append(listings, m.time(func() { m.raw.must(m.raw.look(m.b.Context(), m.env.Owner)) }))
	}
	r.raw = median(listings)
	return r
}

// calls counts apart from the timing: the proxy that counts takes time.
func (m *bench) calls() []string {
	m.b.Helper()
	counted := m.env.In(m.b)
	proxy := counted.Proxy()
	counted.Reconcile(exitDone)
	return proxy.Calls()
}

// changed changes one bottle at a time: so that its pipelock is made anew, and so that it reads its file again.
func (m *bench) changed() (replaced, reloaded row) {
	m.b.Helper()
	ctx := m.b.Context()
	one := m.raw.bottles[:1]
	m.raw.must(m.raw.up(ctx, 1, one))
	pipelock := one[0].Components[0].Container
	replaced = row{what: "one pipelock replaced", aim: "≤ 1.2", how: "remove, create, start"}
	reloaded = row{what: "one pipelock reloaded", how: "SIGHUP, its effect not awaited"}
	var replaces, signals []time.Duration
	for i := range changedRuns {
		m.write(i, "docs.demo.example", "192.168.1.0/24")
		replaced.bottled = append(replaced.bottled, m.step("create", 1))
		replaces = append(replaces, m.time(func() { m.raw.must(m.raw.replace(ctx, pipelock)) }))
		m.write(i, "more.demo.example", "192.168.1.0/24")
		reloaded.bottled = append(reloaded.bottled, m.step("reload", 2)) // pipelock, and cred-proxy, which knows the allowlist for its redirects
		signals = append(signals, m.time(func() {
			_, err := m.raw.engine.Reload(ctx, pipelock.Name, "")
			m.raw.must(err)
		}))
	}
	replaced.raw, reloaded.raw = median(replaces), median(signals)
	m.raw.must(m.raw.down(context.WithoutCancel(ctx), 4, one))
	return replaced, reloaded
}

// step times a pass that has to do one thing to some containers.
func (m *bench) step(action string, containers int) time.Duration {
	m.b.Helper()
	var out harness.Result
	took := m.time(func() { out = m.env.Reconcile(exitDone) })
	for _, a := range []string{"create", "reload"} {
		want := 0
		if a == action {
			want = containers
		}
		if got := strings.Count(out.Stderr, `"message":"`+a+`"`); got != want {
			m.b.Fatalf("%d containers had %q, want %d:\n%s", got, a, want, out.Stderr)
		}
	}
	return took
}

func (m *bench) time(do func()) time.Duration {
	m.b.Helper()
	began := time.Now()
	do()
	return time.Since(began)
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// load is the machine's load average of the last minute.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(data))[0]
}
