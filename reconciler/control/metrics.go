package control

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/engine"
)

// Metrics are the Prometheus metrics of a controller. All times are in seconds.
type Metrics struct {
	passes       *prometheus.CounterVec // by outcome
	passSeconds  *prometheus.HistogramVec
	readySeconds prometheus.Histogram
	calls        *prometheus.CounterVec // by verb
	callErrors   *prometheus.CounterVec
	found        *prometheus.CounterVec // drift, by kind
	repaired     *prometheus.CounterVec
	denied       *prometheus.CounterVec // requests, by bottle and code
	rejected     *prometheus.CounterVec // requests, by bottle
	resyncs      prometheus.Counter
	reconnects   prometheus.Counter
}

// NewMetrics creates the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bottled", Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		passes:     counter("passes_total", "Passes over one bottle, by outcome.", "outcome"),
		calls:      counter("engine_calls_total", "Calls to the engine, by verb.", "verb"),
		callErrors: counter("engine_errors_total", "Calls to the engine that failed, by verb.", "verb"),
		found:      counter("drift_found_total", "Differences found while the declaration was unchanged, by what repairs them.", "kind"),
		repaired:   counter("drift_repaired_total", "Differences repaired while the declaration was unchanged, by what repaired them.", "kind"),
		denied: counter("egress_denied_total", "Requests that pipelock denied, by bottle and code; dlp is the code of those that seemed to leak data.",
			"bottle", "code"),
		rejected:   counter("credential_rejections_total", "Requests whose credential the upstream rejected or cred-proxy could not send, by bottle.", "bottle"),
		resyncs:    counter("resyncs_total", "Completed full resyncs.").WithLabelValues(),
		reconnects: counter("engine_reconnects_total", "How often the engine was lost and found again.").WithLabelValues(),
	}
	m.passSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "bottled", Name: "pass_seconds", Help: "Duration of a pass over one bottle, by whether it changed anything.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 15),
	}, []string{"changed"})
	m.readySeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "bottled", Name: "change_to_ready_seconds", Help: "From the notice of a change to the bottle being ready again.",
		Buckets: prometheus.ExponentialBuckets(0.02, 2, 15),
	})
	r.MustRegister(m.passSeconds, m.readySeconds)
	return m
}

// registerGauges registers the gauges, which are computed from the controller's state when they are scraped, and the desk's metrics.
func (c *Controller) registerGauges(r prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "bottled", Name: name, Help: help}, value))
	}
	gauge("queue_depth", "Bottles that wait for a pass.", func() float64 { return float64(c.queue.Len()) })
	gauge("engine_up", "Whether the engine answers.", func() float64 {
		if c.Status().Controller.Engine.Reachable {
			return 1
		}
		return 0
	})
	r.MustRegister(c.Desk)
	r.MustRegister(conditionCollector{c, prometheus.NewDesc("bottled_bottles", "Bottles, by condition and its status.", []string{"condition", "status"}, nil)})
}

type conditionCollector struct {
	c    *Controller
	desc *prometheus.Desc
}

func (k conditionCollector) Describe(ch chan<- *prometheus.Desc) { ch <- k.desc }

func (k conditionCollector) Collect(ch chan<- prometheus.Metric) {
	count := map[[2]string]int{}
	for _, kind := range []string{reconciler.ConditionReady, reconciler.ConditionReconciling, reconciler.ConditionStalled} {
		for _, status := range []string{statusTrue, statusFalse, statusUnknown} {
			count[[2]string{kind, status}] = 0
		}
	}
	for _, kind := range []string{reconciler.ConditionCut, reconciler.ConditionCredentialRejected, reconciler.ConditionTokenStale} { // listed only while they are true
		count[[2]string{kind, statusTrue}] = 0
	}
	for _, b := range k.c.Status().Bottles {
		for _, condition := range b.Conditions {
			count[[2]string{condition.Type, condition.Status}]++
		}
	}
	for key, n := range count {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), key[0], key[1])
	}
}

// Meter returns an engine whose calls and errors are counted by verb.
func (m *Metrics) Meter(e engine.Engine) engine.Engine {
	return engine.Intercept(e, func(ctx context.Context, c engine.Call, next func(context.Context) error) error {
		m.calls.WithLabelValues(c.Verb).Inc()
		err := next(ctx)
		if err != nil {
			m.callErrors.WithLabelValues(c.Verb).Inc()
		}
		return err
	})
}
