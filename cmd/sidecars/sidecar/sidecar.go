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

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state/configreport"
)

const (
	// grace is how long open requests may continue after SIGTERM. The engine kills the container after 10 s.
	grace = 2 * time.Second
)

// Loaded identifies a configuration that is in force.
type Loaded struct {
	// Digest is configdigest.Of the configuration files. It covers no secrets.
	Digest string
}

// Server serves until it is stopped. *http.Server implements it.
type Server interface {
	// Serve returns when the listener fails or the server is stopped.
	Serve(net.Listener) error
	// Shutdown stops the server and waits for the open requests to end, until the context ends.
	Shutdown(context.Context) error
	// Close stops the server at once.
	Close() error
}

// Program is one sidecar.
type Program struct {
	Role   string // as in the container's label: pipelock, cred-proxy, supervise
	Listen string // host:port; "" for a program that listens nowhere
	// Subnet is the bottle's internal network. Only clients in it and on loopback are served.
	Subnet netip.Prefix
	Server Server
	// Wrap, if set, wraps the server's listener.
	Wrap func(net.Listener) net.Listener
	Log  zerolog.Logger
	// Load reads the whole configuration, including secrets, and puts it in force. If it fails, the previous configuration
	// stays in force. The first call precedes the first Accept; every SIGHUP causes another.
	Load func() (Loaded, error)
	// Flush, if set, writes pending log lines. It is called when the program begins to stop, since the engine may kill it soon, and again
	// at the end.
	Flush func()
}

// NewLogger returns the JSON logger of a sidecar; the engine collects what it writes on stderr.
func NewLogger(role string) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	return zerolog.New(os.Stderr).With().Timestamp().Str("role", role).Logger()
}

// Bounded returns a rate-limited logger for messages that clients can cause, like net/http's. A flood of them would make the engine drop
// earlier lines. Decisions about requests go through Decisions.
func Bounded(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: messageBurst, Period: time.Minute})
}

// messageBurst is the number of such messages a minute.
const messageBurst = 100

// Run serves until ctx ends or SIGTERM or SIGINT arrives. It fails if the first configuration is invalid or the address is not available.
func (p *Program) Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

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
	p.report(configreport.CauseStart, loaded, nil)

	for {
		select {
		case <-ctx.Done():
			return p.shutdown()
		case err := <-served:
			return fmt.Errorf("%s: serve %s: %w", p.Role, p.Listen, err)
		case <-hup:
			loaded = p.reload(loaded)
		}
	}
}

// reload loads the configuration again and reports the result. Every SIGHUP is answered, also when nothing changed: the
// controller waits for the report. It returns what is in force afterwards.
func (p *Program) reload(inForce Loaded) Loaded {
	loaded, err := p.Load()
	if err != nil {
		p.report(configreport.CauseSignal, inForce, err)
		return inForce
	}
	p.report(configreport.CauseSignal, loaded, nil)
	return loaded
}

// report logs which configuration is in force, and why a new one was refused.
func (p *Program) report(cause string, inForce Loaded, err error) {
	e, msg := p.Log.Info(), "configuration in force"
	if err != nil {
		e, msg = p.Log.Error().Err(err), "new configuration refused; the old one stays in force"
	}
	e.Str(configreport.FieldEvent, configreport.Event).Str(configreport.FieldCause, cause).Str(configreport.FieldConfig, inForce.Digest).Msg(msg)
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

// Healthcheck requests the health endpoint of a sidecar on loopback.
func Healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// The default transport would use HTTP_PROXY.
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
