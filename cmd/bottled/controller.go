package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/control"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// stayFlags are those of the controller that stays.
type stayFlags struct {
	resync   time.Duration
	listen   string
	teardown bool
}

func (s *stayFlags) add(f *pflag.FlagSet) {
	f.DurationVar(&s.resync, "resync", 2*time.Minute, "how often everything is looked at, whatever was heard; less or more by a tenth")
	f.StringVar(&s.listen, "listen", "", "loopback `address` and port where the API is served too, read-only, besides its unix socket")
	f.BoolVar(&s.teardown, "teardown-on-exit", false, "remove the bottles when the controller ends")
}

// stay keeps the bottles as declared until a signal comes.
func (a *app) stay(cmd *cobra.Command, dirs []string, options pass.Options, flags stayFlags, git gitFlags) (err error) {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := control.NewMetrics(registry)
	r, err := a.reconciler(ctx, metrics.Meter)
	if err != nil {
		return err
	}
	r.Executor.OnProgress = a.logStep // how the bottle is is told by the controller
	release, err := store.Lock(r.Settings.StateDir, r.Settings.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	source, sources, err := a.source(ctx, dirs, git, r.Settings)
	if err != nil {
		return err
	}
	c := control.NewController(control.ControllerConfig{
		Reconciler: r, Source: source, Prune: options.Prune, Resync: flags.resync, Metrics: metrics, Registry: registry, Log: a.log,
		Identity: reconciler.ControllerStatus{Version: version(), PID: os.Getpid(), Started: time.Now(), Owner: r.Settings.Owner, Sources: sources},
	})
	server, err := a.serve(ctx, c, registry, flags.listen)
	if err != nil {
		return err
	}
	go syncOnHangup(ctx, c)
	a.log.Info().Strs("sources", sources).Str("owner", r.Settings.Owner).Str("version", version()).Msg("keeping bottles as declared")
	if address := server.TCPAddr(); address != nil {
		a.log.Info().Stringer("address", address).Msg("serving the API, read-only, on TCP too")
	}
	notify(daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	c.Run(ctx)
	if flags.teardown {
		err = errors.Join(err, a.teardown(r, c.Declared()))
	}
	cancel()
	err = errors.Join(err, <-served)
	if err == nil {
		a.log.Info().Msg("stopped")
	}
	return err
}

// serve opens the API's sockets.
func (a *app) serve(ctx context.Context, c *control.Controller, metrics prometheus.Gatherer, tcp string) (*api.Server, error) {
	socket, err := a.settings.socket()
	if err != nil {
		return nil, err
	}
	server, err := api.Listen(ctx, api.Options{Source: c, Metrics: metrics, Socket: socket, TCP: tcp, Log: a.log})
	if errors.Is(err, api.ErrAddress) {
		err = exitError{exitBadInput, err}
	}
	return server, err
}

// notify tells systemd, where it asked to be told.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

func (a *app) source(ctx context.Context, dirs []string, git gitFlags, s state.Settings) (control.Source, []string, error) {
	memory, err := store.OpenPlaceMemory(s)
	if err != nil {
		return nil, nil, err
	}
	if git.url == "" {
		// A path that is not there is a slip now, and may be anything later.
		snapshot, err := manifests.LoadKnowing(memory.Known(), dirs...)
		if err != nil {
			return nil, nil, exitError{exitBadInput, err}
		}
		source, err := watchDirs(dirs, snapshot.Writable, memory, a.log)
		return source, dirs, err
	}
	source, err := newGitSource(git, filepath.Join(s.CheckoutDir(), state.Digest(git.url)), memory, a.log)
	if err != nil {
		return nil, nil, exitError{exitBadInput, err}
	}
	go source.follow(ctx)
	return source, []string{source.repository.String()}, nil
}

// syncOnHangup has everything looked at on SIGHUP.
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

// teardown removes what the controller kept. A signal that ended the controller does not end this; another one does.
func (a *app) teardown(r *pass.Reconciler, slugs []string) error {
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
