// Package portforward is bottled port-forward.
package portforward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state/relay"
)

// Options of the command.
type Options struct {
	command.Streams
	Forward func(ctx context.Context, o service.PortForwardOptions) error
	Bottle  string
	Ports   []string
	Address string
}

// New makes the command. It calls runF, if that is not nil, instead of running.
func New(f *command.Factory, runF func(*Options) error) *cobra.Command {
	opts := &Options{Streams: f.Streams, Forward: f.Service.PortForward}
	cmd := &cobra.Command{
		Use:   "port-forward BOTTLE [LOCAL:]PORT…",
		Short: "Reach ports of a bottle's agent from this host",
		Long: `Listen on ports of this host and connect their clients with ports of the agent, until interrupted (Ctrl-C). The manifest need not
declare them, and no controller need run. PORT alone is listened for under the same number, :PORT under any that is free.

The program in the agent must listen on all its addresses (0.0.0.0): one that listens on 127.0.0.1 only can't be reached. A connection
outlives neither a restart of the agent nor this command. To have a port listened for at all times, declare it in spec.agent.ports.

A page of the agent runs in your browser, with your network: open none that you wouldn't open on the internet.`,
		Example: `  bottled port-forward dev 3000
  bottled port-forward dev 8080:3000 :5173
  bottled port-forward dev 3000 --address 127.0.0.2`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("name a bottle, and a port of its agent")
			case 1:
				return fmt.Errorf("name a port of the agent, as in bottled port-forward %s 3000", args[0])
			}
			return nil
		},
		ValidArgsFunction: f.CompleteBottles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Bottle, opts.Ports = args[0], args[1:]
			return command.Run(cmd.Context(), opts, runF, run)
		},
	}
	cmd.Flags().StringVar(&opts.Address, "address", "127.0.0.1", "`address` of this host to listen on; whoever reaches it reaches the agent")
	return cmd
}

func run(ctx context.Context, opts *Options) error {
	if opts.Address == "localhost" {
		opts.Address = "127.0.0.1" // whatever /etc/hosts says
	}
	address, err := netip.ParseAddr(opts.Address)
	if err != nil {
		return exit.Usage(fmt.Errorf("--address %q: it is not an address; use 127.0.0.1, or another one of this host", opts.Address))
	}
	o := service.PortForwardOptions{Bottle: opts.Bottle, Listening: opts.listening, Refused: opts.refused}
	for _, text := range opts.Ports {
		f, err := parse(address.Unmap(), text)
		if err != nil {
			return exit.Usage(err)
		}
		o.Forwards = append(o.Forwards, f)
	}
	if !address.Unmap().IsLoopback() {
		if err := opts.Errs.Line("warning: whoever can reach %s reaches the agent of bottle %s, without a password", address, opts.Bottle); err != nil {
			return err
		}
	}
	if err := opts.Forward(ctx, o); err != nil {
		return command.Concerning(opts.Bottle, err)
	}
	return nil
}

// parse parses PORT, LOCAL:PORT or :PORT.
func parse(address netip.Addr, text string) (service.Forward, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		remote = local
	}
	port, err := strconv.ParseUint(remote, 10, 16)
	if err != nil || port == 0 {
		return service.Forward{}, fmt.Errorf("%q: %q is not a port; write a number from 1 to 65535, or LOCAL:PORT", text, remote)
	}
	from := uint64(0)
	if local != "" {
		if from, err = strconv.ParseUint(local, 10, 16); err != nil {
			return service.Forward{}, fmt.Errorf("%q: %q is not a port; write a number from 1 to 65535, or :%d for any that is free", text, local, port)
		}
	}
	return service.Forward{Local: netip.AddrPortFrom(address, uint16(from)), Remote: uint16(port)}, nil
}

func (opts *Options) listening(all []service.Forward) error {
	for _, f := range all {
		if err := opts.Out.Line("%s leads to port %d of bottle %s", f.Local, f.Remote, opts.Bottle); err != nil {
			return err
		}
	}
	return nil
}

// refused says why a client was turned away.
func (opts *Options) refused(f service.Forward, why error) {
	text := fmt.Sprintf("port %d of the agent: %v", f.Remote, why)
	if errors.Is(why, relay.ErrRefused) {
		text += "; a program that listens on 127.0.0.1 can't be reached, have it listen on 0.0.0.0"
	}
	_ = opts.Errs.Line("%s", text) // there is nowhere else to say it
}
