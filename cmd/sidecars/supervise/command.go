package supervise

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/manifests/contract"
	kind "github.com/bot-bottle/bottled/state/component/supervise"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	role       = contract.SuperviseName
	healthPath = "/healthz"

	idleTimeout    = 5 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Command returns the command `supervise` with its subcommands `run` and `healthcheck`. Both take their
// settings from the environment: SUPERVISE_BOTTLE_SLUG, SUPERVISE_QUEUE_DIR, SUPERVISE_PORT (9100), and
// SUPERVISE_CURRENT_CONFIG_DIR (/etc/claude-bottle/current-config).
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: role, Short: "MCP server through which an agent asks a human for more"}
	cmd.AddCommand(runCommand(), healthcheckCommand())
	return cmd
}

func runCommand() *cobra.Command {
	var subnet netip.Prefix
	cmd := &cobra.Command{
		Use:           "run",
		Short:         "Serve MCP, and keep proposals and answers in SUPERVISE_QUEUE_DIR",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true, // logged below, as JSON
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger := sidecar.NewLogger(role)
			err := serve(cmd, subnet, logger)
			if err != nil {
				logger.Error().Err(err).Msg("supervise ends")
			}
			return err
		},
	}
	sidecar.SubnetFlag(cmd.Flags(), &subnet)
	return cmd
}

func healthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:          "healthcheck",
		Short:        "Exit 0 when the supervise on this host serves",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := settingsFromEnvironment(os.Getenv)
			if err != nil {
				return err
			}
			return sidecar.Healthcheck(cmd.Context(), "http://"+net.JoinHostPort("127.0.0.1", settings.port)+healthPath)
		},
	}
}

type settings struct{ slug, queueDir, port, currentDir string }

func settingsFromEnvironment(getenv func(string) string) (settings, error) {
	s := settings{slug: getenv(kind.EnvSlug), queueDir: getenv(kind.EnvQueueDir), port: getenv(kind.EnvPort)}
	if s.slug == "" || s.queueDir == "" {
		return settings{}, fmt.Errorf("supervise: SUPERVISE_BOTTLE_SLUG and SUPERVISE_QUEUE_DIR must be set")
	}
	s.port, s.currentDir = cmp.Or(s.port, strconv.Itoa(contract.Supervise.Port)), cmp.Or(getenv("SUPERVISE_CURRENT_CONFIG_DIR"), contract.CurrentConfigDir)
	if port, err := strconv.ParseUint(s.port, 10, 16); err != nil || port == 0 {
		return settings{}, fmt.Errorf("supervise: SUPERVISE_PORT=%q is not a port", s.port)
	}
	return s, nil
}

func serve(cmd *cobra.Command, subnet netip.Prefix, logger zerolog.Logger) error {
	settings, err := settingsFromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	q, err := queue.Open(settings.queueDir)
	if err != nil {
		return fmt.Errorf("supervise: SUPERVISE_QUEUE_DIR: %w", err)
	}
	defer func() { _ = q.Close() }() // the process ends
	debug.SetMemoryLimit(kind.GoMemoryLimit)
	program := newProgram(settings, q, logger)
	program.Subnet = subnet
	return program.Run(cmd.Context())
}

func newProgram(s settings, q *queue.Queue, logger zerolog.Logger) *sidecar.Program {
	clients := sidecar.NewClients(maxConnections, headersCost, logger)
	broker := newBroker(s, q, logger)
	return &sidecar.Program{
		Role:   role,
		Listen: net.JoinHostPort("0.0.0.0", s.port),
		Wrap:   clients.Listen,
		Server: newHTTPServer(broker, clients, defaultTiming),
		Flush:  broker.audit.Flush,
		Log:    logger,
		Load:   func() (sidecar.Loaded, error) { return sidecar.Loaded{Digest: configdigest.Of(nil)}, nil },
	}
}

func newHTTPServer(d *broker, clients *sidecar.Clients, t timing) *http.Server {
	server := &http.Server{
		Handler: newHandler(d, t),
		// A call's connection outlives both: the handler extends them.
		ReadTimeout:    t.read,
		WriteTimeout:   t.write,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       log.New(d.log, "", 0),
		ConnState:      clients.Track,
	}
	// Before connections are cut: a call that ends because of us must not look like an agent that left.
	server.RegisterOnShutdown(d.stop)
	return server
}
