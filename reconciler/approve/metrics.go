package approve

import "github.com/prometheus/client_golang/prometheus"

// newDecisions returns the counter of decisions, by tool and status.
func newDecisions() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "bottled", Name: "decisions_total", Help: "Decisions about agents' proposals that were answered, by tool and status.",
	}, []string{"tool", "status"})
}

var waitingDesc = prometheus.NewDesc("bottled_proposals_waiting", "Agents' proposals that wait for a decision, by bottle.", []string{"bottle"}, nil)

// Describe implements prometheus.Collector.
func (d *Desk) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitingDesc
	d.decisions.Describe(ch)
}

// Collect implements prometheus.Collector.
func (d *Desk) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	waiting := map[string]int{}
	for _, p := range d.proposals {
		if p.decision == nil {
			waiting[p.bottle]++
		}
	}
	d.mu.Unlock()
	for bottle, n := range waiting {
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(n), bottle)
	}
	d.decisions.Collect(ch)
}
