package credproxy

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/manifests/contract"
	kind "github.com/bot-bottle/bottled/state/component/credproxy"
)

const (
	role       = contract.CredProxyName
	healthPath = "/healthz"

	headerTimeout = 10 * time.Second
	keepAlive     = 2 * time.Minute
	// Of HTTP/2, where net/http has decoded a header before it is judged: requests on a connection, bytes of a header, of a
	// frame, and of what is held in memory until it is read.
	maxStreams     = 64
	maxHTTP2Header = 16 << 10
	maxFrame       = 16 << 10
	receivedBuffer = 64 << 10
)

// defaultListen is every address of the container: it is on the internal network only.
var defaultListen = net.JoinHostPort("0.0.0.0", strconv.Itoa(contract.CredProxy.Port))

// Command returns the command `cred-proxy` with its subcommands `run` and `healthcheck`.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: role, Short: "Reverse proxy that adds tokens to an agent's requests"}
	cmd.AddCommand(runCommand(), healthcheckCommand())
	return cmd
}

func runCommand() *cobra.Command {
	var listen string
	var subnet netip.Prefix
	var dirs directories
	cmd := &cobra.Command{
		Use:           "run",
		Short:         "Serve the routes of routes.json through the proxy named by HTTPS_PROXY",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true, // logged below, as JSON
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetMemoryLimit(kind.GoMemoryLimit)
			logger := sidecar.NewLogger(role)
			program, err := newProgram(listen, dirs, os.Getenv, logger, os.Stderr)
			if err == nil {
				program.Subnet = subnet
				err = program.Run(cmd.Context())
			}
			if err != nil {
				logger.Error().Err(err).Msg("cred-proxy ends")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "host:port to serve on")
	cmd.Flags().StringVar(&dirs.config, "config-dir", kind.ConfigDir, "directory of routes.json and, optionally, ca.pem")
	cmd.Flags().StringVar(&dirs.token, "token-dir", kind.TokenDir, "directory of the token files")
	sidecar.SubnetFlag(cmd.Flags(), &subnet)
	return cmd
}

func healthcheckCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:          "healthcheck",
		Short:        "Exit 0 when the cred-proxy on this host serves",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, port, err := net.SplitHostPort(listen)
			if err != nil {
				return fmt.Errorf("healthcheck: --listen %q is not host:port: %w", listen, err)
			}
			return sidecar.Healthcheck(cmd.Context(), "http://"+net.JoinHostPort("127.0.0.1", port)+healthPath)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "host:port that `run` serves on")
	return cmd
}

// newProgram wires the sidecar; getenv is os.Getenv, and audit is where the logger writes to.
func newProgram(listen string, dirs directories, getenv func(string) string, logger logger, audit io.Writer) (*sidecar.Program, error) {
	pipelock, err := proxyFromEnvironment(getenv)
	if err != nil {
		return nil, err
	}
	loader := &loader{dirs: dirs, pipelock: pipelock}
	errorLog := log.New(redactingLog{loader, sidecar.Bounded(logger)}, "", 0)
	log.SetFlags(0)
	log.SetOutput(errorLog.Writer()) // net/http's transport writes there, and quotes what upstreams send
	auditLog := newAuditLog(logger, audit, errorLog)
	loader.audit = auditLog
	return &sidecar.Program{
		Role:   role,
		Listen: listen,
		Server: newServer(newHandler(loader, auditLog, errorLog)),
		Flush:  auditLog.count,
		Log:    logger,
		Load:   loader.load,
	}, nil
}

// redactingLog takes the messages of net/http, which knows no secrets but may have read one.
type redactingLog struct {
	loader *loader
	log    logger
}

// Write implements io.Writer.
func (r redactingLog) Write(message []byte) (int, error) {
	r.log.Warn().Msg(r.loader.table.Load().redact(oneLine(string(message))))
	return len(message), nil
}
