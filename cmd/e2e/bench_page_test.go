package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	webpage "github.com/bot-bottle/bottled/cmd/bottled/page"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/e2e/harness/browser"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// noDetails knows nothing of bottles.
type noDetails struct{}

func (noDetails) Describe(context.Context, string) (service.Description, error) {
	return service.Description{}, nil
}

func (noDetails) Logs(context.Context, service.LogsOptions, func(service.LogLine) error) error {
	return nil
}

const (
	benchBottles  = 500
	benchPerS     = 50
	benchDuration = 20 * time.Second
)

// BenchmarkPage has a browser show 500 bottles, of which 50 a second change, and measures how late that is seen, and what it costs.
func BenchmarkPage(b *testing.B) {
	source := &apitest.Source{}
	status := apitest.Status()
	for i := range benchBottles {
		status.Bottles = append(status.Bottles, apitest.Bottle(fmt.Sprintf("bottle-%03d", i), reconciler.ReasonReady, "", apitest.Component(state.Agent, "running", 0)))
	}
	source.Set(status)
	served := webpage.New(source, noDetails{}, zerolog.Nop())
	server := httptest.NewServer(http.HandlerFunc(served.ServeHTTP))
	b.Cleanup(server.Close) // after the tab, whose stream is open
	host, path := served.Link("ann", false)
	address := strings.Replace(server.URL, "127.0.0.1", host, 1)
	tab := browser.Open(b, address+path)
	tab.Click("main form button")
	tab.WaitText("h2", "Inbox")
	tab.Visit(address + "/?all=1&order=name")
	tab.WaitFor("all bottles are there", fmt.Sprintf(`document.querySelectorAll("#fleet tr").length === %d`, benchBottles))
	browser.Evaluate[bool](tab, `(() => {
		window.lags = [];
		new MutationObserver(all => { for (const m of all) for (const n of m.addedNodes) { const at = n.innerText?.match(/at (\d+)/); if (at) window.lags.push(Date.now() - Number(at[1])); } })
			.observe(document.getElementById("fleet"), {childList: true});
		return true;
	})()`)
	for b.Loop() {
		before, task := processTime(b), tab.TaskTime()
		begun := time.Now()
		for i := 0; time.Since(begun) < benchDuration; i++ {
			next := status
			next.Bottles = slices.Clone(status.Bottles)
			next.Bottles[i%benchBottles].Message = fmt.Sprint("at ", time.Now().UnixMilli())
			status = next
			source.Set(status)
			time.Sleep(time.Until(begun.Add(time.Duration(i+1) * time.Second / benchPerS)))
		}
		elapsed := time.Since(begun)
		lags := browser.Evaluate[[]float64](tab, `window.lags`)
		slices.Sort(lags)
		if len(lags) < benchPerS {
			b.Fatalf("the page shows %d changes", len(lags))
		}
		b.ReportMetric(lags[len(lags)/2], "median-lag-ms")
		b.ReportMetric(lags[len(lags)-1], "worst-lag-ms")
		b.ReportMetric(100*float64(processTime(b)-before)/float64(elapsed), "server-%cpu")
		b.ReportMetric(100*float64(tab.TaskTime()-task)/float64(elapsed), "tab-%cpu")
		b.ReportMetric(browser.Evaluate[float64](tab, `performance.memory.usedJSHeapSize / 1e6`), "tab-MB")
	}
}

// processTime is the processor time of this process.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
