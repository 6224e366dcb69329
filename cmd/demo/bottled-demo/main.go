package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bottled-demo:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bottled-demo",
		Short: "The demo's agent, its clients and its upstream",
		Long: `bottled-demo is a static program that serves the demo and the tests on a real engine.

In an agent's container: agent, fetch, dial, resolve, env, tools, console, orphans, self, serve.
As an API for agents:    upstream (with files made by prepare).
On the host:             prepare, image.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(agentCommand(), fetchCommand(), dialCommand(), resolveCommand(), envCommand(), toolsCommand(), consoleCommand(), orphansCommand(), selfCommand(), serveCommand(),
		upstreamCommand(), prepareCommand(), imageCommand())
	return root
}
