package service

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/reconciler/control"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/resolve"
	"github.com/bot-bottle/bottled/state/store"
)

// ControlOptions configure a controller.
type ControlOptions struct {
	Paths    []string // of manifests, unless they are in a Git repository
	Git      GitOptions
	Prune    plan.PrunePolicy
	Resync   time.Duration // between two resyncs; less or more by a tenth
	Listen   string        // TCP address of the API besides its unix socket; "" for none
	Teardown bool          // remove the bottles at the end
	AuditKey string        // file of the private key that signs the audit log; "" for none
	// ApproveTimeout is how long a bottle may take to become ready with an approved change.
	ApproveTimeout time.Duration
	// TokensFile has who may decide about proposals on the TCP address, in lines NAME TOKEN; "" for nobody.
	TokensFile string
	Notify     NotifyOptions
	// Page makes the page of a controller; nil for none.
	Page func(api.Source) api.Page
}

// Control runs a controller until ctx ends.
func (s *Service) Control(ctx context.Context, o ControlOptions) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := control.NewMetrics(registry)
	r, err := s.offlineReconciler(ctx, metrics.Meter)
	if err != nil {
		return err
	}
	r.TokenCommands = resolve.NewTokenCommands(resolve.RunTokenCommand)
	r.Executor.OnProgress = s.logStep // the controller reports how the bottle is
	key, err := o.auditKey()
	if err != nil {
		return err
	}
	release, err := store.Lock(r.Settings.StateDir, r.Settings.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	channels, err := o.Notify.channels(s.Log)
	if err != nil {
		return exit.Usage(err)
	}
	source, names, err := s.openSource(ctx, o, r.Settings)
	if err != nil {
		return err
	}
	c := control.NewController(control.ControllerConfig{
		Reconciler: r, Source: source, Desk: s.desk(r.Settings, source, o.ApproveTimeout), Prune: o.Prune, Resync: o.Resync, Metrics: metrics, Registry: registry, Log: s.Log,
		Ports:    &ports.Server{Listen: ports.Listen, Open: ports.Open, Budget: ports.NewBudget(maxConnections()), Log: s.Log},
		Identity: reconciler.ControllerStatus{Version: Version(), PID: os.Getpid(), Started: time.Now(), Owner: r.Settings.Owner, Sources: names},
	})
	server, err := s.listen(ctx, c, registry, o)
	if err != nil {
		return err
	}
	go syncOnHangup(ctx, c)
	s.logStart(names, r.Settings.Owner, server.TCPAddr())
	notifySystemd(daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { notifySystemd(daemon.SdNotifyStopping) })
	signed := s.signAudit(ctx, r.Settings.AuditDir(), key)
	notified := s.startNotifier(ctx, c, channels)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	c.Run(ctx)
	if o.Teardown {
		err = errors.Join(err, teardown(r, c.Declared()))
	}
	cancel()
	err = errors.Join(err, <-served, r.Executor.Audit.Close(), signed())
	<-notified
	if err == nil {
		s.Log.Info().Msg("stopped")
	}
	return err
}

// desk returns what carries out the decisions about proposals.
func (s *Service) desk(settings state.Settings, manifests approve.Manifests, timeout time.Duration) *approve.Desk {
	return approve.New(approve.Config{
		Settings: settings, Manifests: manifests, Timeout: timeout, Log: s.Log,
		Watch: func() (approve.Watcher, error) { return approve.Watch(settings.QueueDir("")) },
	})
}

// logStart says what a controller begins to do. address is where it serves on TCP, if it does.
func (s *Service) logStart(sources []string, owner string, address net.Addr) {
	s.Log.Info().Strs("sources", sources).Str("owner", owner).Str("version", Version()).Msg("keeping bottles as declared")
	if address != nil {
		s.Log.Info().Stringer("address", address).Msg("serving the API, read-only, on TCP too")
	}
}

// auditKey reads the key that signs the audit log; nil when there is none.
func (o ControlOptions) auditKey() (ed25519.PrivateKey, error) {
	if o.AuditKey == "" {
		return nil, nil
	}
	key, err := audit.ReadSigningKey(o.AuditKey)
	if err != nil {
		return nil, exit.Usage(err)
	}
	return key, nil
}

// listen opens the API's sockets.
func (s *Service) listen(ctx context.Context, c *control.Controller, metrics prometheus.Gatherer, o ControlOptions) (*api.Server, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return nil, err
	}
	options := api.Options{Source: c, Metrics: metrics, Socket: socket, TCP: o.Listen, Log: s.Log}
	if o.Page != nil {
		options.Page = o.Page(c)
	}
	if o.TokensFile != "" {
		options.Tokens = func() (api.Tokens, error) { return readTokens(o.TokensFile) }
		if _, err := options.Tokens(); err != nil {
			return nil, exit.Usage(err)
		}
	}
	server, err := api.Listen(ctx, options)
	if errors.Is(err, api.ErrAddress) {
		err = exit.Usage(err)
	}
	return server, err
}

// maxConnections is how many connections to agents a controller carries at once. Each has two descriptors, and the controller needs some
// for everything else.
func maxConnections() int64 {
	const most, share = 8192, 4
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 / share // what every system allows
	}
	return int64(min(limit.Cur/share, most))
}

// notifySystemd reports a state to systemd, where it started this process and asked for reports.
func notifySystemd(state string) { _, _ = daemon.SdNotify(false, state) }

// syncOnHangup requests a resync on every SIGHUP.
func syncOnHangup(ctx context.Context, c *control.Controller) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			c.Sync(false)
		}
	}
}

// teardown removes the controller's bottles. The signal that ended the controller does not end this; another one does.
func teardown(r *pass.Reconciler, slugs []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(slugs) == 0 {
		return nil
	}
	plan, err := r.PlanDelete(ctx, slugs)
	if err != nil {
		return err
	}
	var failed []error
	for _, err := range r.Execute(ctx, plan) {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

var _ api.Source = (*control.Controller)(nil)
