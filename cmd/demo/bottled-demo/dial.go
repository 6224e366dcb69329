package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func dialCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "dial HOST:PORT…",
		Short: "Try TCP connections; exit with 0 when all are open",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, addresses []string) error {
			return report(cmd, addresses, func(address string) (string, error) {
				return dial(cmd.Context(), address, timeout)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "for each address")
	return cmd
}

func resolveCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "resolve NAME…",
		Short: "Print the addresses of names; exit with 0 when all have some",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return report(cmd, names, func(name string) (string, error) {
				return resolve(cmd.Context(), name, timeout)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "for each name")
	return cmd
}

// report tries all of them side by side and prints a line each, in their order.
func report(cmd *cobra.Command, items []string, try func(string) (string, error)) error {
	lines, failed := make([]string, len(items)), make([]error, len(items))
	var all sync.WaitGroup
	for i, item := range items {
		all.Go(func() { lines[i], failed[i] = try(item) })
	}
	all.Wait()
	count := 0
	for i, item := range items {
		if failed[i] != nil {
			count++
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), item, lines[i]); err != nil {
			return err
		}
	}
	if count > 0 {
		return fmt.Errorf("%d of %d failed", count, len(items))
	}
	return nil
}

func dial(ctx context.Context, address string, timeout time.Duration) (string, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "closed: " + why(err), err
	}
	return "open", conn.Close()
}

func resolve(ctx context.Context, name string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "fails: " + why(err), err
	}
	return strings.Join(addresses, " "), nil
}

// why says in a word or two why a connection could not be had.
func why(err error) string {
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such name"
	case errors.As(err, &dns):
		return "names can't be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "unreachable"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case strings.Contains(err.Error(), "the proxy answered"):
		return "refused by the proxy"
	}
	return "failed"
}
