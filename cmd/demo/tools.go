package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"
)

func toolsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tools URL",
		Short: "List the tools of an MCP server (streamable HTTP)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			return listTools(ctx, cmd.OutOrStdout(), args[0])
		},
	}
}

func listTools(ctx context.Context, out io.Writer, url string) (err error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "bottled-demo", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return fmt.Errorf("list the tools of %s: %w", url, err)
		}
		first, _, _ := strings.Cut(tool.Description, ". ")
		if _, err := fmt.Fprintf(out, "%s: %s\n", tool.Name, strings.TrimSuffix(first, ".")); err != nil {
			return err
		}
	}
	return nil
}
