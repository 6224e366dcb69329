package control

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Metrics are what a controller counts, for Prometheus. All times are in seconds.
type Metrics struct {
	passes       *prometheus.CounterVec // by outcome
	passSeconds  *prometheus.HistogramVec
	readySeconds prometheus.Histogram
	calls        *prometheus.CounterVec // by verb
	callErrors   *prometheus.CounterVec
	found        *prometheus.CounterVec // by kind
	repaired     *prometheus.CounterVec
	resyncs      prometheus.Counter
	reconnects   prometheus.Counter
}

// NewMetrics registers the metrics.
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
		resyncs:    counter("resyncs_total", "Full resyncs completed.").WithLabelValues(),
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

// observe lets the metrics show what the controller holds at the moment of asking.
func (c *Controller) observe(r prometheus.Registerer) {
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
	for _, b := range k.c.Status().Bottles {
		for _, condition := range b.Conditions {
			count[[2]string{condition.Type, condition.Status}]++
		}
	}
	for key, n := range count {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), key[0], key[1])
	}
}

// Meter counts an engine's calls and errors by verb.
func (m *Metrics) Meter(e engine.Engine) engine.Engine { return metered{e, m} }

type metered struct {
	engine.Engine
	m *Metrics
}

func (e metered) count(verb string, err *error) {
	e.m.calls.WithLabelValues(verb).Inc()
	if *err != nil {
		e.m.callErrors.WithLabelValues(verb).Inc()
	}
}

func (e metered) Ping(ctx context.Context) (err error) {
	defer e.count("ping", &err)
	return e.Engine.Ping(ctx)
}

func (e metered) Info(ctx context.Context) (info engine.Info, err error) {
	defer e.count("info", &err)
	return e.Engine.Info(ctx)
}

func (e metered) Events(ctx context.Context, since time.Time, tell func(engine.Event)) (err error) {
	defer e.count("events", &err)
	return e.Engine.Events(ctx, since, tell)
}

func (e metered) Containers(ctx context.Context, owner, slug string) (found []engine.Summary, err error) {
	defer e.count("list_containers", &err)
	return e.Engine.Containers(ctx, owner, slug)
}

func (e metered) Networks(ctx context.Context) (found []engine.ObservedNetwork, err error) {
	defer e.count("list_networks", &err)
	return e.Engine.Networks(ctx)
}

func (e metered) Images(ctx context.Context, refs []string) (ids map[string]string, err error) {
	defer e.count("list_images", &err)
	return e.Engine.Images(ctx, refs)
}

func (e metered) Inspect(ctx context.Context, id string) (d engine.Detail, err error) {
	defer e.count("inspect_container", &err)
	return e.Engine.Inspect(ctx, id)
}

func (e metered) Logs(ctx context.Context, id string, since time.Time, tail int, follow bool) (r io.ReadCloser, err error) {
	defer e.count("logs", &err)
	return e.Engine.Logs(ctx, id, since, tail, follow)
}

func (e metered) WaitHealthy(ctx context.Context, id string) (health string, err error) {
	defer e.count("health", &err)
	return e.Engine.WaitHealthy(ctx, id)
}

func (e metered) MountIDs(ctx context.Context, id string) (ids map[string]safepath.ID, err error) {
	defer e.count("inspect_container", &err)
	return e.Engine.MountIDs(ctx, id)
}

func (e metered) NetworkMembers(ctx context.Context, id string) (names []string, err error) {
	defer e.count("inspect_network", &err)
	return e.Engine.NetworkMembers(ctx, id)
}

func (e metered) ContainerOwner(ctx context.Context, name string) (id, owner string, err error) {
	defer e.count("inspect_container", &err)
	return e.Engine.ContainerOwner(ctx, name)
}

func (e metered) CreateNetwork(ctx context.Context, n state.Network) (made engine.ObservedNetwork, err error) {
	defer e.count("create_network", &err)
	return e.Engine.CreateNetwork(ctx, n)
}

func (e metered) RemoveNetwork(ctx context.Context, id string) (err error) {
	defer e.count("remove_network", &err)
	return e.Engine.RemoveNetwork(ctx, id)
}

func (e metered) CreateContainer(ctx context.Context, c state.Container) (id string, err error) {
	defer e.count("create_container", &err)
	return e.Engine.CreateContainer(ctx, c)
}

func (e metered) StartContainer(ctx context.Context, id string) (err error) {
	defer e.count("start_container", &err)
	return e.Engine.StartContainer(ctx, id)
}

func (e metered) StopContainer(ctx context.Context, id string, grace time.Duration) (err error) {
	defer e.count("stop_container", &err)
	return e.Engine.StopContainer(ctx, id, grace)
}

func (e metered) RemoveContainer(ctx context.Context, id string) (err error) {
	defer e.count("remove_container", &err)
	return e.Engine.RemoveContainer(ctx, id)
}

func (e metered) UnpauseContainer(ctx context.Context, id string) (err error) {
	defer e.count("unpause_container", &err)
	return e.Engine.UnpauseContainer(ctx, id)
}

func (e metered) SignalContainer(ctx context.Context, id, signal string) (err error) {
	defer e.count("signal_container", &err)
	return e.Engine.SignalContainer(ctx, id, signal)
}

func (e metered) UpdateLimits(ctx context.Context, id string, l state.Limits) (err error) {
	defer e.count("update_container", &err)
	return e.Engine.UpdateLimits(ctx, id, l)
}

func (e metered) Connect(ctx context.Context, network, id string, aliases []string) (err error) {
	defer e.count("connect_network", &err)
	return e.Engine.Connect(ctx, network, id, aliases)
}

func (e metered) Disconnect(ctx context.Context, network, id string) (err error) {
	defer e.count("disconnect_network", &err)
	return e.Engine.Disconnect(ctx, network, id)
}

func (e metered) LoadImage(ctx context.Context, archive io.Reader) (err error) {
	defer e.count("load_image", &err)
	return e.Engine.LoadImage(ctx, archive)
}

func (e metered) PullImage(ctx context.Context, ref string) (err error) {
	defer e.count("pull_image", &err)
	return e.Engine.PullImage(ctx, ref)
}

func (e metered) BuildImage(ctx context.Context, b engine.ImageBuild, archive io.Reader) (err error) {
	defer e.count("build_image", &err)
	return e.Engine.BuildImage(ctx, b, archive)
}
