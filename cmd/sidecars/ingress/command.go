package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/manifests/contract"
	kind "github.com/bot-bottle/bottled/state/component/ingress"
	"github.com/bot-bottle/bottled/state/configdigest"
	"github.com/bot-bottle/bottled/state/relay"
)

const role = contract.IngressName

// Command returns the command `ingress` with its subcommand `run`. It has no health check: it works as long as it runs.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: role, Short: "Relay between the host and ports of the agent"}
	cmd.AddCommand(runCommand())
	return cmd
}

func runCommand() *cobra.Command {
	var dir string
	var session bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Carry the connections of the host until SIGTERM",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			debug.SetMemoryLimit(kind.GoMemoryLimit)
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if session {
				go func() {
					_, _ = io.Copy(io.Discard, cmd.InOrStdin())
					cancel()
				}()
			}
			return newProgram(dir).Run(ctx)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", contract.IngressDir, "`directory` of the host's socket")
	cmd.Flags().BoolVar(&session, kind.OneSession, false, "end when stdin is closed")
	return cmd
}

func newProgram(dir string) *sidecar.Program {
	return &sidecar.Program{
		Role:   role,
		Server: newServer(dir, dial),
		Log:    sidecar.NewLogger(role),
		Load:   func() (sidecar.Loaded, error) { return sidecar.Loaded{Digest: configdigest.Of(nil)}, nil },
	}
}

// dial connects to a component of the bottle.
func dial(ctx context.Context, target string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp4", target)
}

// server carries connections until it is stopped.
type server struct {
	dir   string
	dial  relay.DialFunc
	ctx   context.Context //nolint:containedctx // of all connections: Serve gets none
	stop  context.CancelFunc
	ended chan struct{}
}

func newServer(dir string, dial relay.DialFunc) *server {
	s := &server{dir: dir, dial: dial, ended: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

var errStopped = errors.New("stopped")

// Serve carries connections. It has no use for a listener.
func (s *server) Serve(net.Listener) error {
	defer close(s.ended)
	relay.Serve(s.ctx, s.dir, s.dial)
	return errStopped
}

// Shutdown ends all connections: whoever has one can make another as soon as the ingress runs again.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop()
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close is for connections that have not ended in time; the process ends with them.
func (s *server) Close() error { return nil }
