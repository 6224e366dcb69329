package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/reconciler/collect"
	"github.com/bot-bottle/bottled/reconciler/execute"
	"github.com/bot-bottle/bottled/reconciler/pass"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/docker"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
	"github.com/bot-bottle/bottled/state/observe"
)

// connect makes a reconciler, and fails when the engine does not answer.
func (a *app) connect(ctx context.Context) (*pass.Reconciler, error) {
	r, err := a.reconciler(ctx, func(e engine.Engine) engine.Engine { return e })
	if err != nil {
		return nil, err
	}
	return r, r.Observer.Engine.Ping(ctx)
}

// reconciler makes one on the engine that the docker CLI would use, seen through meter.
func (a *app) reconciler(ctx context.Context, meter func(engine.Engine) engine.Engine) (*pass.Reconciler, error) {
	image, err := a.builtinImage()
	if err != nil {
		return nil, err
	}
	settings, err := a.settings.state(image.Ref)
	if err != nil {
		return nil, err
	}
	real, err := docker.New(settings)
	if err != nil {
		return nil, err
	}
	engine := meter(real)
	if settings.Shared, err = real.SharedPaths(ctx); err != nil {
		return nil, err
	}
	for _, dir := range []string{settings.StateDir, settings.RunDir} {
		if err := settings.CheckShared(dir); err != nil {
			return nil, err
		}
	}
	cache := observe.OpenCache(filepath.Join(settings.StateDir, "cache.json"))
	return &pass.Reconciler{
		Settings: settings,
		Observer: observe.Observer{Engine: engine, Settings: settings, Cache: cache, Routes: hostRoutes},
		Executor: &execute.Executor{
			Engine: engine, Settings: settings, Cache: cache, BuiltinImage: image,
			Parallel: a.settings.Parallel, Timeout: a.settings.Timeout, OnProgress: a.logEvent,
			Audit: collect.NewCollector(real, settings, a.log),
		},
		Getenv: os.LookupEnv,
		// In a container these settings are those of its own network.
		HostReversePathFilter: func() (bool, error) {
			if settings.Shared != nil {
				return false, nil
			}
			return hostFilters()
		},
	}, nil
}

// builtinImage is the image of this very executable. When no sidecar is built in, it need not be able to serve.
func (a *app) builtinImage() (*selfimage.Image, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running executable: %w", err)
	}
	image, err := selfimage.Of(self, "bottled")
	for name, configured := range a.settings.Images {
		if name != state.Agent && *configured == state.Builtin {
			return image, err
		}
	}
	return &selfimage.Image{}, nil
}

// hostRoutes lists the IPv4 destinations that this host has routes to.
func hostRoutes() ([]netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	var found []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		if ok && bits > 0 { // not the default route
			found = append(found, netip.PrefixFrom(addr, bits))
		}
	}
	return found, nil
}

// hostFilters tells whether every network of this host, but for those somebody exempts, is filtered by reverse path
// (Linux, ip-sysctl: the higher one counts of what is set for all and for an interface, which begins with the default).
func hostFilters() (bool, error) {
	for _, of := range []string{"all", "default"} {
		value, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + of + "/rp_filter")
		if err != nil {
			return false, fmt.Errorf("read whether this host filters by reverse path: %w", err)
		}
		if strings.TrimSpace(string(value)) != "0" {
			return true, nil
		}
	}
	return false, nil
}

// load reads manifests and prints, once, everything wrong or risky in them.
func (a *app) load(known manifests.Known, paths []string) (manifests.Snapshot, error) {
	snapshot, err := manifests.LoadKnowing(known, paths...)
	if err != nil {
		return snapshot, exitError{exitBadInput, err}
	}
	for _, p := range snapshot.Problems {
		if err := a.errs.line("%v", p); err != nil {
			return snapshot, err
		}
	}
	for _, notice := range snapshot.Notices() {
		if err := a.errs.line("warning: %s", notice); err != nil {
			return snapshot, err
		}
	}
	return snapshot, nil
}

func (a *app) logEvent(e execute.Progress) {
	if e.Done && e.Step == nil {
		a.log.Info().Str("bottle", e.Slug).Dur("took_ms", e.Took).Err(e.Err).Msg(outcome(e.Err))
	}
	a.logStep(e)
}

// logStep logs a step that was done. What failed is told with the bottle.
func (a *app) logStep(e execute.Progress) {
	if e.Done && e.Step != nil && e.Err == nil {
		line := a.log.Info().Str("bottle", e.Slug)
		if e.Step.Component != "" {
			line.Str("part", string(e.Step.Component))
		}
		line.Str("object", e.Step.Object).Str("cause", e.Step.Cause).Dur("took_ms", e.Took).Msg(string(e.Step.Action))
	}
}

func outcome(err error) string {
	if err != nil {
		return "bottle failed"
	}
	return "bottle done"
}
