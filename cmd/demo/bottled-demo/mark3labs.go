package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

// protocolVersion is the newest one that both libraries speak: the official server refuses calls in mark3labs' latest one.
const protocolVersion = "2025-11-25"

// callWithMark3labs is callTool with another implementation of MCP, since agents have others than the official one.
func callWithMark3labs(ctx context.Context, out io.Writer, url, name, arguments string) (err error) {
	c, err := client.NewStreamableHttpClient(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Start(ctx); err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	hello := mcp.InitializeRequest{Params: mcp.InitializeParams{
		ProtocolVersion: protocolVersion, ClientInfo: mcp.Implementation{Name: "bottled-demo", Version: "1"},
	}}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	call := mcp.CallToolRequest{Params: mcp.CallToolParams{Name: name}}
	if arguments != "" {
		call.Params.Arguments = json.RawMessage(arguments)
	}
	result, err := c.CallTool(ctx, call)
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	for _, content := range result.Content {
		if text, ok := content.(mcp.TextContent); ok {
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
