package credproxy

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// requests measures the most requests in a second, in turns.
func (r *race) requests() {
	rates, costs := map[string][]float64{}, map[string][]float64{}
	runners := append([]runner{r.direct}, r.proxies...)
	clients := map[string][]*pinger{}
	for _, to := range runners {
		for range benchClients {
			c := r.dial(to, "x")
			if err := c.learn(); err != nil {
				r.Fatalf("%s: %v", to.name, err)
			}
			clients[to.name] = append(clients[to.name], c)
		}
	}
	for range benchRounds {
		for _, to := range runners {
			cpu := r.cpu(to)
			rate, count := r.round(clients[to.name])
			rates[to.name] = append(rates[to.name], rate)
			costs[to.name] = append(costs[to.name], float64((r.cpu(to)-cpu).Microseconds())/float64(count))
		}
	}
	r.Logf("%d clients, small answers (medians of %d turns):", benchClients, benchRounds)
	for _, to := range runners {
		r.Logf("  %-10s %8.0f requests/s %8.1f us of CPU each", to.name, median(rates[to.name]), median(costs[to.name]))
	}
	r.ReportMetric(median(rates["cred-proxy"]), "req/s")
	r.ReportMetric(median(rates["cred-proxy"])/median(rates["nginx"]), "req/s-of-nginx")
	r.ReportMetric(median(costs["nginx"])/median(costs["cred-proxy"]), "req/cpu-of-nginx")
}

func (r *race) round(clients []*pinger) (rate float64, count int64) {
	r.Helper()
	var total atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for _, c := range clients {
		group.Go(func() {
			for n := int64(0); ; n++ {
				if time.Since(begin) > benchRound {
					total.Add(n)
					return
				}
				if err := c.ask(); err != nil {
					r.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return float64(total.Load()) / time.Since(begin).Seconds(), total.Load()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// latency measures one client's requests, one at a time, in turns.
func (r *race) latency() {
	took := map[string][]time.Duration{}
	runners := append([]runner{r.direct}, r.proxies...)
	var clients []*pinger
	for _, to := range runners {
		c := r.dial(to, "x")
		if err := c.learn(); err != nil {
			r.Fatal(err)
		}
		clients = append(clients, c)
	}
	for range benchPings {
		for i, to := range runners {
			begin := time.Now()
			if err := clients[i].ask(); err != nil {
				r.Fatal(err)
			}
			took[to.name] = append(took[to.name], time.Since(begin))
		}
	}
	quantile := func(name string, q float64) time.Duration {
		slices.Sort(took[name])
		return took[name][int(q*float64(len(took[name])-1))]
	}
	r.Logf("added latency, one request at a time (%d each):", benchPings)
	for _, to := range r.proxies {
		p50, p99 := quantile(to.name, 0.5)-quantile("direct", 0.5), quantile(to.name, 0.99)-quantile("direct", 0.99)
		r.Logf("  %-10s p50 %6d us   p99 %6d us", to.name, p50.Microseconds(), p99.Microseconds())
		if to.name == "cred-proxy" {
			r.ReportMetric(float64(p50.Microseconds()), "us-p50-added")
			r.ReportMetric(float64(p99.Microseconds()), "us-p99-added")
		}
	}
}

// gibibyte measures one large download, the best of three turns.
func (r *race) gibibyte() {
	best, cpu := map[string]time.Duration{}, map[string]time.Duration{}
	for range 3 {
		for _, from := range r.proxies {
			before, begin := r.cpu(from), time.Now()
			c := r.dial(from, "gib")
			if _, err := c.Write(c.request); err != nil {
				r.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReaderSize(c.Conn, 256<<10), nil)
			if err != nil {
				r.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != gibibyte || err != nil {
				r.Fatalf("%s: %d bytes, %v", from.name, n, err)
			}
			if took := time.Since(begin); best[from.name] == 0 || took < best[from.name] {
				best[from.name], cpu[from.name] = took, r.cpu(from)-before
			}
		}
	}
	r.Logf("1 GiB in one response (the best of 3 turns):")
	for _, from := range r.proxies {
		r.Logf("  %-10s %6.2f s   %6.2f s of CPU", from.name, best[from.name].Seconds(), cpu[from.name].Seconds())
	}
	r.ReportMetric(best["cred-proxy"].Seconds(), "s-per-GiB")
}

// streams measures memory with many event streams open.
func (r *race) streams() {
	nginx := r.proxies[0]
	nginx.prefix = "/s/"
	r.Logf("memory:")
	for _, from := range []runner{nginx, r.streamer} {
		idle, idleAnonymous := r.memory(from)
		for range benchStreams {
			c := r.dial(from, "stream")
			if _, err := c.Write(c.request); err != nil {
				r.Fatal(err)
			}
			lines := bufio.NewScanner(c.Conn)
			for lines.Scan() && lines.Text() != "data: event" {
			}
			if lines.Text() != "data: event" {
				r.Fatalf("%s: no event, %v", from.name, lines.Err())
			}
		}
		for _, pid := range from.pids {
			sidecartest.SettledMemory(r, pid, 5*time.Second)
		}
		rss, anonymous := r.memory(from)
		r.Logf("  %-10s %6.1f MB RSS idle (%.1f anonymous), %6.1f MB with %d streams (%.1f anonymous)", from.name,
			mega(idle), mega(idleAnonymous), mega(rss), benchStreams, mega(anonymous))
		if from.name == "cred-proxy" {
			r.ReportMetric(mega(rss), "MB-RSS-1000-streams")
		}
	}
}

func mega(kib int) float64 { return float64(kib) * 1024 / 1e6 }
