package pipelock

import (
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/manifests/contract"
	kind "github.com/bot-bottle/bottled/state/component/pipelock"
)

// role is the name of the sidecar in labels and logs.
const role = contract.PipelockName

// defaultAddress is on loopback, like that of the official program.
var defaultAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(contract.Pipelock.Port))

// Command returns the command `pipelock` with the subcommands of the official program that a bottle uses: run and healthcheck.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   role,
		Short: "Egress proxy that lets a bottle's agent reach the hosts on its allowlist, and nothing else",
	}
	cmd.AddCommand(runCommand(), healthcheckCommand())
	return cmd
}

func runCommand() *cobra.Command {
	var listen, config string
	var subnet netip.Prefix
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve until SIGTERM; SIGHUP reloads the configuration",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			debug.SetMemoryLimit(kind.GoMemoryLimit)
			return newProgram(listen, config, subnet).Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultAddress, "address to listen on")
	cmd.Flags().StringVar(&config, "config", kind.ConfigFile, "configuration file")
	sidecar.SubnetFlag(cmd.Flags(), &subnet)
	return cmd
}

func newProgram(listen, config string, subnet netip.Prefix) *sidecar.Program {
	log := sidecar.NewLogger(role)
	proxy := newProxy(log, subnet)
	return &sidecar.Program{
		Role:   role,
		Listen: listen,
		Subnet: subnet,
		Wrap:   proxy.clients.Listen,
		Server: newServer(proxy, log),
		Log:    log,
		Load:   func() (sidecar.Loaded, error) { return proxy.load(config) },
		Flush:  proxy.audit.Flush,
	}
}

func healthcheckCommand() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 when the proxy serves, 1 when it does not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			return sidecar.Healthcheck(cmd.Context(), "http://"+addr+healthPath)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", defaultAddress, "address of the proxy")
	return cmd
}
