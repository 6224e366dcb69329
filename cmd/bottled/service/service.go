package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/reconciler/collect"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
	"github.com/bot-bottle/bottled/state/observe"
)

// Service carries out commands. Its settings may be filled in after it was made.
type Service struct {
	Settings Settings
	Log      zerolog.Logger
	// OpenEngine finds the engine without asking it for anything yet. [OpenDocker] is the real one.
	OpenEngine func(state.Settings) (Engine, error)
	// Stdin is where manifests are read from when a command is given "-".
	Stdin io.Reader
}

// Engine is an engine with what the service itself asks it for.
type Engine interface {
	engine.Engine
	// SharedPaths are the directories that this process has in common with the engine's host; nil outside of a container.
	SharedPaths(ctx context.Context) ([]string, error)
	Close() error
}

// OpenDocker finds the engine that the docker CLI would use.
func OpenDocker(s state.Settings) (Engine, error) { return docker.New(s) }

// connect opens the engine, and fails when it does not answer.
func (s *Service) connect(ctx context.Context, settings state.Settings) (Engine, error) {
	e, err := s.OpenEngine(settings)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// reconciler makes a reconciler, and fails when the engine does not answer.
func (s *Service) reconciler(ctx context.Context) (*pass.Reconciler, error) {
	r, err := s.offlineReconciler(ctx, func(e engine.Engine) engine.Engine { return e })
	if err != nil {
		return nil, err
	}
	return r, r.Observer.Engine.Ping(ctx)
}

// offlineReconciler makes a reconciler whose engine need not answer yet. It reaches the engine through the meter.
func (s *Service) offlineReconciler(ctx context.Context, meter func(engine.Engine) engine.Engine) (*pass.Reconciler, error) {
	image, err := s.builtinImage()
	if err != nil {
		return nil, err
	}
	settings, err := s.Settings.StateSettings(image.Ref)
	if err != nil {
		return nil, err
	}
	settings.Launcher = launcher()
	opened, err := s.OpenEngine(settings)
	if err != nil {
		return nil, err
	}
	if settings.Shared, err = opened.SharedPaths(ctx); err != nil {
		return nil, err
	}
	for _, dir := range []string{settings.StateDir, settings.RunDir} {
		if err := settings.CheckShared(dir); err != nil {
			return nil, err
		}
	}
	metered := meter(opened)
	cache := observe.OpenCache(filepath.Join(settings.StateDir, "cache.json"))
	return &pass.Reconciler{
		Settings: settings,
		Observer: observe.Observer{Engine: metered, Settings: settings, Cache: cache, Routes: hostRoutes},
		Executor: &execute.Executor{
			Engine: metered, Settings: settings, Cache: cache, BuiltinImage: image,
			Parallel: s.Settings.Parallel, Timeout: s.Settings.Timeout, OnProgress: s.logProgress,
			Audit: collect.NewCollector(opened, settings, s.Log),
		},
		Getenv: os.LookupEnv,
		// In a container these settings are those of its own network.
		HostReversePathFilter: func() (bool, error) {
			if settings.Shared != nil {
				return false, nil
			}
			return ReversePathFilter()
		},
	}, nil
}

// builtinImage is the image of this very executable. When no sidecar of every bottle is built in, it need not be able to serve: then there
// is no reference, and a bottle that needs it fails.
func (s *Service) builtinImage() (*selfimage.Image, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running executable: %w", err)
	}
	image, err := selfimage.Of(self, "bottled")
	for name, configured := range s.Settings.Images {
		if name != state.Agent && name != state.Ingress && *configured == state.Builtin {
			return image, err
		}
	}
	if err != nil {
		return &selfimage.Image{}, nil //nolint:nilerr // as documented
	}
	return image, nil
}

// launcher is the path of the running executable if it runs in any image; "" otherwise.
func launcher() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if _, err := selfimage.Of(self, "bottled"); err != nil {
		return ""
	}
	return self
}

// logProgress logs the executor's steps, and the end of every bottle.
func (s *Service) logProgress(e execute.Progress) {
	if e.Done && e.Step == nil {
		message := "bottle done"
		if e.Err != nil {
			message = "bottle failed"
		}
		s.Log.Info().Str("bottle", e.Slug).Dur("took_ms", e.Took).Err(e.Err).Msg(message)
	}
	s.logStep(e)
}

// logStep logs a step that was done. A failure is reported with the bottle.
func (s *Service) logStep(e execute.Progress) {
	if e.Done && e.Step != nil && e.Err == nil {
		line := s.Log.Info().Str("bottle", e.Slug)
		if e.Step.Component != "" {
			line.Str("component", string(e.Step.Component))
		}
		line.Str("object", e.Step.Object).Str("reason", e.Step.Cause).Dur("took_ms", e.Took).Msg(string(e.Step.Action))
	}
}

// Version is what the Go toolchain stamped into the executable.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v
}
