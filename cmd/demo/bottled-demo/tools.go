package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"
)

func toolsCommand() *cobra.Command {
	var timeout time.Duration
	var client string
	cmd := &cobra.Command{
		Use:   "tools URL [TOOL [ARGUMENTS]]",
		Short: "List the tools of an MCP server (streamable HTTP), or call one, with arguments as a JSON object",
		Args:  cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			switch {
			case client == "official":
				return useTools(ctx, cmd.OutOrStdout(), args[0], args[1:])
			case client == "mark3labs" && len(args) > 1:
				return callWithMark3labs(ctx, cmd.OutOrStdout(), args[0], args[1], strings.Join(args[2:], ""))
			}
			return fmt.Errorf("--client %s: official, or mark3labs with a tool to call", client)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "for the whole call")
	cmd.Flags().StringVar(&client, "client", "official", "`library` of the MCP client: official (the Go SDK) or mark3labs (mcp-go)")
	return cmd
}

func useTools(ctx context.Context, out io.Writer, url string, call []string) (err error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "bottled-demo", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	if len(call) > 0 {
		return callTool(ctx, out, session, call[0], strings.Join(call[1:], ""))
	}
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

func callTool(ctx context.Context, out io.Writer, session *mcp.ClientSession, name, arguments string) error {
	params := &mcp.CallToolParams{Name: name}
	if arguments != "" {
		params.Arguments = json.RawMessage(arguments)
	}
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			if _, err := fmt.Fprintln(out, text.Text); err != nil {
				return err
			}
		}
	}
	if result.IsError {
		return fmt.Errorf("%s failed", name)
	}
	return nil
}
