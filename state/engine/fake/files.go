package fake

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/configreport"
	"github.com/bot-bottle/bottled/state/engine"
)

// dir is a delivered directory. A container that was started keeps the directory that it mounted, also when another one takes its
// place.
type dir struct {
	files map[string]state.ObservedFile
	spool bool
}

func (e *Engine) delivered(path string) bool {
	s := e.options.Settings
	return s.StateDir != "" && (state.Within(path, s.StateDir) || state.Within(path, s.RunDir))
}

// Files returns the delivered directories.
func (e *Engine) Files(ctx context.Context, slug string) (map[string]map[string]state.ObservedFile, error) {
	found := map[string]map[string]state.ObservedFile{}
	err := e.read(ctx, func() error {
		for path, d := range e.dirs {
			if slug != "" && !e.of(path, slug) {
				continue
			}
			found[path] = map[string]state.ObservedFile{}
			if !d.spool {
				found[path] = cloneMap(d.files)
			}
		}
		return nil
	})
	return found, err
}

// of reports whether a directory is a bottle's.
func (e *Engine) of(path, slug string) bool {
	s := e.options.Settings
	return state.Within(path, s.BottleDir(slug)) || state.Within(path, filepath.Dir(s.TokenDir(slug))) || path == s.QueueDir(slug)
}

// WriteFiles replaces the files of a directory, which stays the same one.
func (e *Engine) WriteFiles(ctx context.Context, want state.Dir) error {
	return e.write(ctx, func() error {
		d := e.dirs[want.Path]
		if d == nil {
			d = &dir{spool: want.Spool}
			e.dirs[want.Path] = d
		}
		if d.spool {
			return nil
		}
		d.files = map[string]state.ObservedFile{}
		for name, f := range want.Files {
			d.files[name] = state.ObservedFile{Content: f.Content, Mode: f.Mode, Modified: time.Now()}
		}
		return nil
	})
}

// RemoveFiles removes a bottle's directories but for its proposal queue.
func (e *Engine) RemoveFiles(ctx context.Context, slug string) error {
	return e.write(ctx, func() error {
		for path := range e.dirs {
			if e.of(path, slug) && path != e.options.Settings.QueueDir(slug) {
				delete(e.dirs, path)
			}
		}
		return nil
	})
}

// Reload has a component read its files again, once it handles the signal.
func (e *Engine) Reload(ctx context.Context, id, config string) (engine.Report, error) {
	err := e.wait(ctx, func() (bool, error) {
		c, err := e.running(id)
		return err == nil && (c.booted || config == ""), err
	})
	if err != nil {
		return engine.Report{}, err
	}
	since := time.Now()
	err = e.write(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		if !c.live() {
			return fmt.Errorf("send SIGHUP to container: it is not running: %w", engine.ErrConflict)
		}
		began := c.starts
		e.later(c.program.Reload, func() {
			if c.starts == began && c.run.state == engine.StateRunning {
				e.report(c, configreport.CauseSignal)
			}
		})
		return nil
	})
	if err != nil || config == "" {
		return engine.Report{}, err
	}
	return e.await(ctx, id, since, config, configreport.CauseSignal)
}

// WaitReady waits for a report, or for the outcome of the health check.
func (e *Engine) WaitReady(ctx context.Context, id string, r engine.Readiness) (engine.Report, error) {
	if r.Config != "" {
		return e.await(ctx, id, r.Since, r.Config, configreport.CauseStart)
	}
	return engine.Report{}, e.wait(ctx, func() (bool, error) {
		c, err := e.running(id)
		if err != nil {
			return false, err
		}
		if c.health() == engine.HealthUnhealthy {
			return false, engine.ErrUnhealthy
		}
		return c.health() != engine.HealthStarting, nil
	})
}

// running returns a container that runs. The lock is held.
func (e *Engine) running(id string) (*container, error) {
	c, err := e.find(id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it was removed", engine.ErrNotFound)
	case c.run.state == engine.StatePaused:
		return nil, engine.ErrPaused
	case c.run.state != engine.StateRunning:
		return nil, engine.EndedError{ExitCode: c.run.exitCode}
	}
	return c, nil
}

func (e *Engine) await(ctx context.Context, id string, since time.Time, config, cause string) (got engine.Report, err error) {
	err = e.wait(ctx, func() (bool, error) {
		c, err := e.running(id)
		if err != nil {
			return false, err
		}
		for _, l := range c.log {
			if l.at.Before(since) || l.cause != cause {
				continue
			}
			if l.failed != nil {
				return false, fmt.Errorf("it refuses its new configuration and keeps the old one: %w", l.failed)
			}
			if l.report != nil && l.report.Config == config {
				got = *l.report
				return true, nil
			}
		}
		return false, nil
	})
	return got, err
}

// LastReport returns what a component said last.
func (e *Engine) LastReport(ctx context.Context, id string, endedAt time.Time) (last engine.Report, err error) {
	err = e.read(ctx, func() error {
		c, err := e.find(id)
		if err != nil {
			return err
		}
		for _, l := range c.log {
			if l.report != nil && !l.at.Before(endedAt) {
				last = *l.report
			}
		}
		return nil
	})
	return last, err
}
