// Package sidecar is what the programs inside a bottle's sidecars have in common: a listener, a
// configuration that is reloaded without dropping a connection, and the log events by which they tell
// the controller which configuration they run.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state/configreport"
)

const (
	// settle is how long a watched directory must be quiet before it is read again: several files are
	// often replaced at once.
	settle = 50 * time.Millisecond
	// pollInterval is how often a configuration is read that can't be watched.
	pollInterval = 2 * time.Second
	// grace is how long open requests may go on after SIGTERM. The engine kills after 10 s.
	grace = 2 * time.Second
)

// Loaded is the outcome of one reading of the configuration.
type Loaded struct {
	Digest  string // configdigest.Of the configuration files now in force
	Changed bool   // whether anything, secrets included, differs from what was in force before
}

// Server serves until it is told to stop. An *http.Server is one.
type Server interface {
	// Serve returns when the listener fails or the server is stopped.
	Serve(net.Listener) error
	// Shutdown stops the server and waits, not longer than the context, for the open requests to end.
	Shutdown(context.Context) error
	// Close stops the server at once.
	Close() error
}

// Program is one sidecar.
type Program struct {
	Role   string // as in the container's label: pipelock, cred-proxy, supervise
	Listen string // host:port
	// Subnet is the bottle's internal network: only clients in it are served, and those on loopback.
	Subnet netip.Prefix
	Server Server
	// Wrap, if set, is put around the listener before the server has it.
	Wrap func(net.Listener) net.Listener
	Log  zerolog.Logger
	// Load reads the whole configuration, secrets too, and puts it in force; on an error what was in
	// force stays so. The first call is made before the server accepts a connection.
	Load func() (Loaded, error)
	// WatchDirs are the directories whose changes make Load run again.
	WatchDirs []string
	// Flush, if set, writes what the log is still owed. It is called when the program begins to stop, since the engine may kill
	// it then, and again at the end.
	Flush func()
}

// NewLogger returns the JSON logger of a sidecar; the engine collects what it writes on stderr.
func NewLogger(role string) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	return zerolog.New(os.Stderr).With().Timestamp().Str("role", role).Logger()
}

// Bounded is a sidecar's logger for messages that a client can cause, such as net/http's: those of a flood are dropped, as they
// would make the engine drop earlier lines. What is decided about requests goes through Decisions.
func Bounded(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: messageBurst, Period: time.Minute})
}

// messageBurst is how many such messages a minute are written.
const messageBurst = 100

// Run serves until ctx ends or SIGTERM or SIGINT arrives. It fails when the first configuration is bad
// or the address cannot be had.
func (p *Program) Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	changes, closeWatch := p.watch()
	defer closeWatch()

	loaded, err := p.Load()
	if err != nil {
		return fmt.Errorf("%s: configuration: %w", p.Role, err)
	}
	listener, err := p.listen(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Role, err)
	}
	if p.Wrap != nil {
		listener = p.Wrap(listener)
	}
	served := make(chan error, 1)
	go func() { served <- p.Server.Serve(listener) }()
	p.event(configreport.CauseStart, loaded.Digest, nil)

	digest := loaded.Digest
	for {
		select {
		case <-ctx.Done():
			return p.shutdown()
		case err := <-served:
			return fmt.Errorf("%s: serve %s: %w", p.Role, p.Listen, err)
		case <-hup:
			digest = p.reload(configreport.CauseSignal, digest)
		case <-changes:
			digest = p.reload(configreport.CauseFile, digest)
		}
	}
}

// reload returns the digest in force afterwards. A signal is always answered with an event: the
// controller takes it as the acknowledgement.
func (p *Program) reload(cause, inForce string) string {
	loaded, err := p.Load()
	if err != nil {
		p.event(cause, inForce, err)
		return inForce
	}
	if cause == configreport.CauseSignal || loaded.Changed {
		p.event(cause, loaded.Digest, nil)
	}
	return loaded.Digest
}

func (p *Program) event(cause, digest string, err error) {
	e, msg := p.Log.Info(), "configuration in force"
	if err != nil {
		e, msg = p.Log.Error().Err(err), "new configuration refused; the old one stays in force"
	}
	e.Str(configreport.FieldEvent, configreport.Event).Str(configreport.FieldCause, cause).Str(configreport.FieldConfig, digest).Msg(msg)
}

func (p *Program) shutdown() error {
	if p.Flush != nil {
		p.Flush()
		defer p.Flush()
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := p.Server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return p.Server.Close()
	}
	return err
}

// watch reports, debounced, that something in WatchDirs changed. The kernel allows a user only so many watchers
// (fs.inotify.max_user_instances, 128 by default, and all sidecars are one user): without one it is time to look, every
// pollInterval.
func (p *Program) watch() (<-chan struct{}, func()) {
	changes := make(chan struct{}, 1)
	if len(p.WatchDirs) == 0 {
		return changes, func() {}
	}
	watcher, err := p.watcher()
	if err != nil {
		p.Log.Warn().Err(err).Msg("can't watch the configuration for changes; looking every " + pollInterval.String())
		ticker := time.NewTicker(pollInterval)
		go func() {
			for range ticker.C {
				due(changes)
			}
		}()
		return changes, ticker.Stop
	}
	go p.debounce(watcher, changes)
	return changes, func() { _ = watcher.Close() }
}

func (p *Program) watcher() (*fsnotify.Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, dir := range p.WatchDirs {
		if err := watcher.Add(dir); err != nil {
			return nil, errors.Join(err, watcher.Close())
		}
	}
	return watcher, nil
}

// due notes that a reading is due; one that is already due is enough.
func due(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default:
	}
}

func (p *Program) debounce(watcher *fsnotify.Watcher, changes chan<- struct{}) {
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case _, open := <-watcher.Events:
			if !open {
				return
			}
			quiet.Reset(settle)
		case err, open := <-watcher.Errors:
			if !open {
				return
			}
			p.Log.Warn().Err(err).Msg("watching the configuration: some changes may have been missed; reading all of it")
			quiet.Reset(settle)
		case <-quiet.C:
			due(changes)
		}
	}
}

// Healthcheck asks a sidecar on this host's loopback whether it serves.
func Healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// Not the default transport: it would obey HTTP_PROXY.
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}
